"""`python -m natonnx`."""

from natonnx.cli import main

if __name__ == "__main__":
    main()
