"""The store: an inbox and a serving copy in one SQL database. SQLite by default, PostgreSQL by its URL.

``patron publish`` writes the serving copy, a *generation*: a packed history and a profile for each customer, consents,
links, attributes and the models. A generation is written beside the current one in short transactions, so that the inbox
stays open meanwhile, and takes its place in one. What the API accepts goes to the inbox, one row a fact, keyed (table,
source, id); it is *open* until the current generation holds it too.
"""

from serving.store.engine import Store
from serving.store.records import Consent, Decision, Incoming, Known, OpenFact, Publication, Verdict
from serving.store.session import Session

__all__ = [
    "Consent",
    "Decision",
    "Incoming",
    "Known",
    "OpenFact",
    "Publication",
    "Session",
    "Store",
    "Verdict",
]
