"""Run every command that the README and its companions show, and compare what comes out with what they say."""
