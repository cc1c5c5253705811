"""What carbon itself makes of a file of its configuration.

Arguments: what the file is (carbon, relay-rules, storage-schemas), and the file. Prints
one JSON line: what was read. Fails, with carbon's own words, where carbon would, and
where it would overlook a setting that it does not know.
"""

import json
import os
import sys

from carbon import conf
from carbon.util import parseDestinations

kind, path = sys.argv[1:]


def carbon():
    # The relay's own settings, of which carbon has no defaults.
    known = set(conf.defaults) | {"DESTINATIONS"}
    parser = conf.OrderedConfigParser()
    parser.read(path)
    read = {}
    for section in parser.sections():
        assert section.split(":")[0] in ("cache", "relay", "aggregator"), section
        settings = conf.Settings()
        settings.readFrom(path, section)
        names = [name.upper() for name, _ in parser.items(section)]
        unknown = [name for name in names if name not in known]
        assert not unknown, "carbon knows no %s" % unknown
        destinations = parser.get(section, "DESTINATIONS").split(",")
        read[section] = parseDestinations(destinations)
    return read


def relay_rules():
    from carbon import relayrules

    return [list(map(list, rule.destinations)) for rule in relayrules.loadRelayRules(path)]


def storage_schemas():
    conf.settings["CONF_DIR"] = os.path.dirname(path)
    from carbon import storage

    storage.STORAGE_SCHEMAS_CONFIG = path
    # The last is carbon's own default.
    schemas = storage.loadStorageSchemas()[:-1]
    return [[schema.name, [a.getTuple() for a in schema.archives]] for schema in schemas]


read = {"carbon": carbon, "relay-rules": relay_rules, "storage-schemas": storage_schemas}[kind]()
assert read, "carbon finds nothing in it"
print(json.dumps(read))
