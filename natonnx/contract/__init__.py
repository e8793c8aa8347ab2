"""The JSON payloads of `--json` as types, a module a verb: no other room knows their keys by heart, mypy checks them.

Numbers that were not measured are null. Every payload begins with `schema`, the version of all of them together.
"""
