"""What an offer changes: uplift from randomised exposures, and what a policy would have earned."""
