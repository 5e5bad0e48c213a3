"""What `task=` names beside the build."""
