"""The page and its server: pictures and live frames come in over HTTP, faces and their emotions go out."""
