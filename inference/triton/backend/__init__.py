"""The file that Triton itself runs; nothing here is imported by the project."""
