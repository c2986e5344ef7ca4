"""What is done with a written dataset: check it, measure it, show it, change its lists."""
