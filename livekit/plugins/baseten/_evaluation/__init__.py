"""What a deployment makes of recordings of which somebody has written down what is said."""
