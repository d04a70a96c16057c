"""Commands of the CLI on mutated files and options: whatever the input, the contract of the command line holds."""
