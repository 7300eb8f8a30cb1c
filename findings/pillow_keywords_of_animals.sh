#!/usr/bin/env bash
# Pillow writes XMP into JPEG and WebP and drops it for PNG and TIFF without a word; one keyword
# comes back as a text, several as a list.
#
# Packages: pillow==13.0.0, defusedxml==0.7.1
# Guess: save(xmp=...) works for each format that Pillow reads XMP from, and a list of one is a
# list.
# Behaviour: the argument is ignored for PNG and TIFF; getxmp() gives "Animals|Ann" for one
# keyword and a list for two.
# Whom it hurts: names of animals in keywords are lost where photographs are converted, and "for
# name in keywords" reads letters where a photograph shows one animal.
# Seen: jpg str list, webp str list, png nothing, tif nothing.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check 'pillow==13.0.0' 'defusedxml==0.7.1'
venv/bin/python - <<'PYTHON'
from PIL import Image
def packet(*keywords):
    items = "".join(f"<rdf:li>{word}</rdf:li>" for word in keywords)
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:lr="http://ns.adobe.com/lightroom/1.0/"><lr:hierarchicalSubject><rdf:Bag>'
        f"{items}</rdf:Bag></lr:hierarchicalSubject></rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()
def kind(suffix, *keywords):
    Image.new("RGB", (8, 8)).save("photo." + suffix, xmp=packet(*keywords))
    with Image.open("photo." + suffix) as image:
        image.load()
        found = image.getxmp()
    if not found:
        return "nothing"
    subject = found["xmpmeta"]["RDF"]["Description"]["hierarchicalSubject"]
    return type(subject["Bag"]["li"]).__name__
seen = {s: (kind(s, "Animals|Ann"), kind(s, "Animals|Ann", "Animals|Bo")) for s in ("jpg", "webp", "png", "tif")}
print(seen)
assert seen == {"jpg": ("str", "list"), "webp": ("str", "list"),
                "png": ("nothing", "nothing"), "tif": ("nothing", "nothing")}
PYTHON
