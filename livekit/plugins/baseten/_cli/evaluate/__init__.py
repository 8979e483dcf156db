"""`evaluate`: what a deployment makes of recordings whose words are known, setting by setting."""
