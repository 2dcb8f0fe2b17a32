"""What parcels are made from."""
