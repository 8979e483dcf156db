"""What hears the words."""
