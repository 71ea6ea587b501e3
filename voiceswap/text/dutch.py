"""Dutch: what is written short, and how numbers, dates, times and amounts are said."""

from __future__ import annotations

import re

from voiceswap.text.continental import Match, Words, number_words, steps
from voiceswap.text.numerals import roman

_MONTHS = "januari februari maart april mei juni juli augustus september oktober november december".split()
_SHORT_MONTHS = {"jan": 1, "feb": 2, "febr": 2, "mrt": 3, "apr": 4, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "sept": 9,
                 "okt": 10, "nov": 11, "dec": 12}  # fmt: skip
_SHORT = {
    "bijv": "bijvoorbeeld", "Bijv": "Bijvoorbeeld", "bv": "bijvoorbeeld", "enz": "enzovoort", "etc": "et cetera",
    "ca": "circa", "dhr": "de heer", "Dhr": "De heer", "mevr": "mevrouw", "Mevr": "Mevrouw", "mw": "mevrouw",
    "Mw": "Mevrouw", "dr": "dokter", "Dr": "Dokter", "prof": "professor", "Prof": "Professor", "drs": "doctorandus",
    "ir": "ingenieur", "ing": "ingenieur", "mr": "meester", "Mr": "Meester", "ds": "dominee", "nr": "nummer",
    "Nr": "Nummer", "nrs": "nummers", "blz": "bladzijde", "hfst": "hoofdstuk", "St": "Sint", "tel": "telefoon",
    "Tel": "Telefoon", "mln": "miljoen", "mld": "miljard", "incl": "inclusief", "excl": "exclusief",
    "vgl": "vergelijk", "max": "maximaal", "min": "minimaal", "afb": "afbeelding", "art": "artikel", "geb": "geboren",
    "evt": "eventueel", "resp": "respectievelijk", "jl": "jongstleden", "sec": "seconden", "str": "straat",
    "ong": "ongeveer", "zgn": "zogenaamd", "aanw": "aanwezig", "ned": "Nederlands", "eng": "Engels",
    "ma": "maandag", "di": "dinsdag", "wo": "woensdag", "do": "donderdag", "vr": "vrijdag", "za": "zaterdag",
}  # fmt: skip
_CLOSING = frozenset("enz etc jl str sec mln mld geb".split())
_BY_LETTERS = {
    "d.w.z.": "dat wil zeggen", "D.w.z.": "Dat wil zeggen", "o.a.": "onder andere", "m.a.w.": "met andere woorden",
    "M.a.w.": "Met andere woorden", "i.p.v.": "in plaats van", "t.o.v.": "ten opzichte van", "a.u.b.": "alstublieft",
    "z.s.m.": "zo spoedig mogelijk", "n.a.v.": "naar aanleiding van", "N.a.v.": "Naar aanleiding van",
    "m.b.t.": "met betrekking tot", "i.v.m.": "in verband met", "I.v.m.": "In verband met", "b.v.": "bijvoorbeeld",
    "v.Chr.": "voor Christus", "n.Chr.": "na Christus", "t.a.v.": "ter attentie van", "o.l.v.": "onder leiding van",
    "e.d.": "en dergelijke", "e.a.": "en anderen", "t.g.v.": "ten gevolge van", "d.m.v.": "door middel van",
    "m.u.v.": "met uitzondering van", "s.v.p.": "alstublieft", "m.i.": "mijns inziens", "i.h.b.": "in het bijzonder",
}  # fmt: skip
_UNITS = {
    "km/u": ("kilometer per uur", "kilometer per uur"), "km/h": ("kilometer per uur", "kilometer per uur"),
    **{sign: (name, name) for sign, name in {
        "km": "kilometer", "m": "meter", "cm": "centimeter", "mm": "millimeter", "µm": "micrometer", "kg": "kilogram",
        "g": "gram", "mg": "milligram", "l": "liter", "ml": "milliliter", "kW": "kilowatt", "MW": "megawatt",
        "W": "watt", "V": "volt", "A": "ampère", "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz",
        "GHz": "gigahertz", "GB": "gigabyte", "MB": "megabyte", "kB": "kilobyte", "TB": "terabyte",
        "kWh": "kilowattuur", "°": "graden", "ha": "hectare", "ton": "ton", "u": "uur",
        "dB": "decibel", "%": "procent", "‰": "promille", "pk": "paardenkracht", "kcal": "kilocalorieën"}.items()},
    "°C": ("graad Celsius", "graden Celsius"), "°F": ("graad Fahrenheit", "graden Fahrenheit"),
    "s": ("seconde", "seconden"), "min": ("minuut", "minuten"),
}  # fmt: skip
_CURRENCIES = {"€": ("euro", "cent"), "EUR": ("euro", "cent"), "euro": ("euro", "cent"), "$": ("dollar", "cent"),
               "USD": ("Amerikaanse dollar", "cent"), "£": ("pond", "pence"), "¥": ("yen", ""), "ƒ": ("gulden", "cent")}  # fmt: skip
_MAGNITUDES = {"mln": ("miljoen", "miljoen"), "mld": ("miljard", "miljard"), "miljoen": ("miljoen", "miljoen"),
               "miljard": ("miljard", "miljard"), "duizend": ("duizend", "duizend")}  # fmt: skip
_RULERS = "Willem Karel Filips Lodewijk Hendrik Frederik Albert Leopold Boudewijn Maurits Floris Paus Pius Napoleon Elizabeth".split()


def _time(hour: int, minute: int) -> str:
    said = number_words(hour, "nl") + " uur"
    return f"{said} {number_words(minute, 'nl')}" if minute else said


def _half(whole: int) -> str:
    if whole < 2:
        return "anderhalf" if whole else "een half"
    said = number_words(whole, "nl")
    return said + ("ënhalf" if said.endswith("e") else "enhalf")


def _part(under: int) -> str:
    return {2: "half", 4: "kwart"}.get(under) or number_words(under, "nl", "ordinal")


def _ruler(m: Match) -> str:
    value = roman(m["roman"])
    return f"{m['name']} de {number_words(value, 'nl', 'ordinal').capitalize()}" if value else m[0]


def _century(m: Match) -> str:
    value = roman(m["roman"])
    return number_words(value, "nl", "ordinal") if value else m[0]


WORDS = Words(
    code="nl",
    comma="komma",
    signs={".": "punt", "/": "schuine streep", "-": "streepje", "_": "laag streepje", "@": "apenstaartje",
           ":": "dubbele punt", "&": "en", "?": "vraagteken", "=": "is", "#": "hekje", "%": "procent", "+": "plus",
           "~": "tilde", "and": "en", "over": "gedeeld door", "^2": "vierkante ",
           "^3": "kubieke ", ":to": "tegen"},
    latin=(
        *((r"(?<![\w.])" + re.escape(written).replace(r"\.", r"\.\s?")[:-3] + r"(?!\w)", said)
          for written, said in _BY_LETTERS.items()),
        (r"'s (?=(?i:ochtends|morgens|middags|avonds|nachts)\b)", "s"), (r"'t\b", "het"), (r"(?<!\w)'n\b", "een"),
        (r"(?<!\w)'k\b", "ik"), (r"\b([mz])'n\b", r"\1ijn"), (r"(?<=[a-z])str\.(?!\w)", "straat"), (r"\ben/of\b", "en of"), (r"\bt/m\b", "tot en met"), (r"\bp/a\b", "per adres"),
        (r"\bp\.\s?(?=\d)", "pagina "),
        (r"\b(?<![.'])(?:[A-Za-z]\.){2,}", lambda m: " ".join(m[0].upper().split("."))[:-1]),
        (r"\b([A-Z])\.(?=\s?(?:[A-Z]|(?:de|den|der|van|te|ter|ten)\b))", r"\1 "),
    ),
    short=_SHORT,
    closing=_CLOSING,
    months={**{name: number for number, name in enumerate(_MONTHS, 1)}, **_SHORT_MONTHS},
    month_names=_MONTHS,
    units=_UNITS,
    currencies=_CURRENCIES,
    magnitudes=_MAGNITUDES,
    between=(
        (r"#(?=\d)", "nummer "), (r"§\s?", "paragraaf "), (r"(?<=\d) - (?=\d)", " min "),
        (r"(?<=\d) ?[×x*] ?(?=\d)", " keer "), (r"(?<=\d) ?÷ ?(?=\d)", " gedeeld door "),
        (r"(?<=\d)(%|°C?|€|kg|km|m)? ?- ?(?=[€$£]?\d)(?!\d\d?-\d{2,4}(?!\d))", lambda m: (m[1] or "") + " tot "),
        (r"(?<![\w.,)])-(?=[€$£]?\d)", "min "), (r"~ ?(?=\d)", "ongeveer "), (r"(?<![\w'])'(?=\d)", ""),
        (r"\b([A-Z]{1,3}) ?& ?([A-Z]{1,3})\b", lambda m: f"{' '.join(m[1])} en {' '.join(m[2])}"),
    ),
    numbers=(
        (rf"\b(?P<name>{'|'.join(_RULERS)}) (?P<roman>[IVX]+)\b", _ruler),
        (r"\b(?P<roman>[IVX]+)(?=e eeuw\b)e", _century),
        (r"(?<![\w.,])(?P<number>\d{1,4})(?:ste|de|e)(?!\w)", lambda m: number_words(int(m["number"]), "nl", "ordinal")),
    ),
    after=(
        (r"\^twee\b", " kwadraat"), (r"\^drie\b", " tot de derde"), (r"\^(?=\w)", " tot de macht "), (r"%", " procent"),
        (r"‰", " promille"), (r"±|\+/-", " plus of min "), (r"×", " keer "), (r"÷", " gedeeld door "), (r"°", " graden "),
        (r"&", " en "), (r"\+", " plus "), (r"=+", " is "), (r"@", " apenstaartje "), (r"€", " euro "), (r"\$", " dollar "),
        (r"£", " pond "), (r"→", " naar "), (r"≤", " kleiner dan of gelijk aan "), (r"≥", " groter dan of gelijk aan "),
        (r"(?<=\s)<(?=\s)", " kleiner dan "), (r"(?<=\s)>(?=\s)", " groter dan "), (r"\|", ", "),
    ),
    said=frozenset("NAVO NASA PIN RAM LAN MAVO HAVO FIFA UEFA IKEA OPEC AIDS".split()),
    common=frozenset("en of de het een is niet met op van te in ik je hij zij we nooit geen dit dat".split()),
    numbered=("hoofdstuk", "deel", "boek", "akte", "artikel", "klasse", "type", "fase", "Hoofdstuk", "Deel"),
    one=lambda after: "één",
    day=lambda day, before: number_words(day, "nl"),
    time=_time,
    half=_half,
    part=_part,
)  # fmt: skip
STEPS = steps(WORDS)
