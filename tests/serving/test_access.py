"""Keys, their roles and their rights."""

import pytest

from features.errors import InputError
from serving.access import RIGHTS, Access

ACCESS = Access.parse("crm:crm-secret-1, admin:with:colons:1 ,,service:~!#$%^&*()")


@pytest.mark.parametrize(
    ("header", "role"),
    [
        ("Bearer crm-secret-1", "crm"), ("bearer crm-secret-1", "crm"), ("BEARER  crm-secret-1 ", "crm"),
        ("Bearer with:colons:1", "admin"), ("Bearer ~!#$%^&*()", "service"),
        (None, None), ("", None), (" ", None), ("Bearer", None), ("Bearer ", None), ("crm-secret-1", None),
        ("Basic crm-secret-1", None), ("Token crm-secret-1", None), ("Bearer CRM-SECRET-1", None),
        ("Bearer crm-secret-", None), ("Bearer crm-secret-12", None), ("Bearer crm:crm-secret-1", None),
        ("Bearer crm-secret-1 crm-secret-1", None), ("Bearer crm-secret-1,", None),
        ("Bearer \u00e9\u4f60", None), ("Bearer \ud800", None), ("Bearer \x00", None),
    ],
)  # fmt: skip
def test_the_role_of_a_header(header, role):
    assert ACCESS.role(header) == role


def test_every_role_finds_itself_whatever_the_order():
    entries = [f"{role}:secret-of-{role}" for role in RIGHTS]
    for text in (",".join(entries), ",".join(reversed(entries))):
        access = Access.parse(text)
        assert {role: access.role(f"Bearer secret-of-{role}") for role in RIGHTS} == {
            role: role for role in RIGHTS
        }


def test_a_role_may_have_several_keys():
    access = Access.parse("crm:first-key,crm:other-key")
    assert [access.role(f"Bearer {key}") for key in ("first-key", "other-key")] == ["crm", "crm"]


def test_what_each_role_may():
    table = {
        "score": {"admin", "crm", "marketing"},
        "decide": {"admin", "crm"},
        "report": {"admin", "crm", "service"},
        "read": {"admin", "crm", "marketing", "service"},
    }
    found = {right: {role for role, rights in RIGHTS.items() if right in rights} for right in table}
    assert found == table
    assert set().union(*RIGHTS.values()) == set(table)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "PATRON_API_KEYS is not set"), ("", "is not set"), (" , ,", "is not set"),
        ("s3cretvalue", "key 1 has no known role; roles are admin, crm"), ("crm:longenough,boss:s3cretvalue", "key 2 has no known role"),
        ("CRM:s3cretvalue", "no known role"), ("crm :s3cretvalue", "no known role"), (":s3cretvalue", "no known role"),
        ("crm:", r"secret of key 1 \(crm\)"), ("crm:s3cret7", "8 or more"), ("crm:s3cret val", "without spaces"),
        ("crm:s3cret\u00e9\u00e9", "ASCII"), ("crm:s3cret\tvalue", "printable"), (",admin:s3cret7", r"key 2 \(admin\)"),
        ("crm:s3cretvalue,admin:s3cretvalue", r"key 2 \(admin\) has the secret of another key"),
    ],
)  # fmt: skip
def test_keys_that_are_refused_and_not_repeated(text, words):
    with pytest.raises(InputError, match=words) as refused:
        Access.parse(text)
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_eight_signs_are_enough():
    assert Access.parse("crm:12345678").role("Bearer 12345678") == "crm"


def test_no_secret_is_kept():
    assert "crm-secret-1" not in repr(ACCESS)
