"""The `.sirn` file: its contents as plain data, written to bytes, read from bytes that may be hostile, and decoded."""
