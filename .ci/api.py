#!/usr/bin/env python3
"""The public surface of FlockCache, one declaration a line, from a symbol graph of the compiler.

    api.py GRAPH... [--update FILE | --check FILE]
"""
import json
import sys


def lines(paths):
    found = set()
    for path in paths:
        with open(path, encoding="utf-8") as file:
            graph = json.load(file)
        titles = {s["identifier"]["precise"]: ".".join(s["pathComponents"]) for s in graph["symbols"]}
        for symbol in graph["symbols"]:
            # What a protocol of the standard library brings along is not ours.
            if "::SYNTHESIZED::" in symbol["identifier"]["precise"]:
                continue
            text = "".join(part["spelling"] for part in symbol["declarationFragments"])
            available = [
                "unavailable" for a in symbol.get("availability", []) if a.get("isUnconditionallyUnavailable")
            ]
            path = ".".join(symbol["pathComponents"][:-1])
            found.add(" ".join((path + ": " if path else "").split() + available + text.split()))
        for relation in graph["relationships"]:
            if relation["kind"] == "conformsTo" and relation["source"] in titles:
                target = titles.get(relation["target"], relation.get("targetFallback", ""))
                found.add("%s: conforms to %s" % (titles[relation["source"]], target))
    return sorted(found)


def main():
    arguments = sys.argv[1:]
    kind, file = arguments[-2:]
    text = "\n".join(lines(arguments[:-2])) + "\n"
    if kind == "--update":
        with open(file, "w", encoding="utf-8") as out:
            out.write(text)
        return 0
    with open(file, encoding="utf-8") as old:
        before, after = set(old.read().splitlines()), set(text.splitlines())
    for line in sorted(before - after):
        print("- " + line)
    for line in sorted(after - before):
        print("+ " + line)
    if before == after:
        print("%d declarations, as in %s" % (len(after), file))
        return 0
    print("the public surface has changed: say so in docs/changelog.md, and run .ci/docs --update")
    return 1


sys.exit(main())
