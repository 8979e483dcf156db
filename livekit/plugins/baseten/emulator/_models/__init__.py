"""What a deployed model does with audio, as a function of what it received. No I/O."""
