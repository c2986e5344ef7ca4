"""Data only: cfg templates, the models and the media that ship."""
