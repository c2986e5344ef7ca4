"""What every Darknet reads: .data files, lists, names and labels, and whole sets of them."""
