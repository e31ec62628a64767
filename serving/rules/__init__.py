"""The rule layer: one playbook of tags, segments, offers and contact policy; one evaluator for one customer and for millions."""
