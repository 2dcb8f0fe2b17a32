"""Makes sticks: recipe -> host root -> disk image -> store -> device, and tries them in an emulated PC."""
