"""Real models of many kinds with data, each optimised by the command line: the table of docs/subjects.md."""
