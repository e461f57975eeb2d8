"""The sections of the report's page, each as HTML; an empty string where there is nothing to show."""
