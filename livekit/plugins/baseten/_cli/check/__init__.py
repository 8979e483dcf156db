"""`check`: whether a deployment is right for live use."""
