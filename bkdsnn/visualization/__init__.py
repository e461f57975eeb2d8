"""Pictures and pages made from runs."""
