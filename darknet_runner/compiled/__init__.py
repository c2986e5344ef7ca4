"""A Darknet binary that the user has, driven and watched."""
