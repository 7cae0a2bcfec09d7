"""The rule of what an address is counted as stands twice, in Python and in SQL: on random ones the two agree."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lib.accounts.addresses import network
from lib.database.engine import Database

_numbers = st.integers(0, 2**128 - 1) | st.integers(0, 2**64 - 1).map(lambda number: number << 64)
_mapped = st.integers(0, 2**32 - 1).map(lambda number: (0xFFFF << 32) | number)
_v6 = (_numbers | _mapped).map(IPv6Address)
_ways = st.sampled_from([str, lambda a: a.exploded, lambda a: str(a).upper()])
_groups = st.lists(
    st.sampled_from(["0", "00", "1", "db8", "FFFF", "ffff", "12345", ""]), min_size=1, max_size=9
)
_dotted = st.lists(st.integers(0, 300).map(str) | st.just("01"), min_size=3, max_size=5).map(".".join)
_written = (
    st.builds(lambda address, way: way(address), _v6, _ways)
    | st.integers(0, 2**32 - 1).map(IPv4Address).map(str)
    | _groups.map(":".join)
    | _dotted
    | st.builds("{}:{}".format, _groups.map(":".join), _dotted)
    | st.builds("::ffff:{}".format, _dotted)
    | st.text("0123456789abcdefABCDEF:.%/ ", max_size=45)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
)
_scopes = st.sampled_from(["", "", "%eth0", "%", "%1%2", "/64", "%e/0", "%\n", " "])


@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.builds("{}{}".format, _written, _scopes))
@example("")
@example("unknown")
@example("192.0.2.7")
@example("192.0.2.7/24")
@example("10.1")
@example("010.0.0.1")
@example("::")
@example("::1")
@example("::ffff:192.0.2.7")
@example("::FFFF:192.0.2.7%eth0")
@example("::ffff:0:0")
@example("::192.0.2.7")
@example("::.0")
@example("::192.0.2")
@example("::192.0.2.07")
@example("64:ff9b::192.0.2.7")
@example("1:2:3:4:5:6:7::")
@example("::2:3:4:5:6:7:8")
@example("1::3:4:5:6:7:8")
@example("1:2:3:4:5:6:7:8")
@example("1:2:3::4:5:6:7:8")
@example("2001:DB8:0:0:1::/64")
@example("0:0:0:5:6:7:8:9")
@example("fe80::1%eth0")
def test_both_count_an_address_as_the_same(database: Database, address: str) -> None:
    asked = "SELECT network_of(CAST(:address AS text)) AS network"
    assert database.read(asked, address=address) == {"network": network(address)}


@pytest.mark.parametrize("address", ["2001:db8:1:2:3:4:5:6", "::ffff:192.0.2.7"])
def test_not_only_of_what_is_left_as_it_is(address: str) -> None:
    assert network(address) != address
