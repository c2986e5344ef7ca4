"""Where pictures come from: files, folders, lists, videos, cameras and streams."""
