"""One module per thing that can be measured; its name is the subcommand."""
