"""The rule layer: tags, segments, offers and contact policy in one playbook; one evaluator for one customer or millions."""
