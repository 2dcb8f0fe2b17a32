"""What everything stands on: errors, outside programs, units, durable files, secrets."""
