from soulpad.cli.main import entry

entry()
