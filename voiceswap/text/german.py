"""German: what is written short, and how numbers, dates, times and amounts are said."""

from __future__ import annotations

import re

from voiceswap.text.continental import Match, Words, number_words, steps
from voiceswap.text.numerals import roman

_MONTHS = ("Januar Februar März April Mai Juni Juli August September Oktober November Dezember").split()
_SHORT_MONTHS = {"Jan": 1, "Jän": 1, "Jänner": 1, "Feb": 2, "Febr": 2, "Mrz": 3, "Apr": 4, "Jun": 6, "Jul": 7,
                 "Aug": 8, "Sep": 9, "Sept": 9, "Okt": 10, "Nov": 11, "Dez": 12}  # fmt: skip
_SHORT = {
    "usw": "und so weiter", "bzw": "beziehungsweise", "ca": "circa", "etc": "et cetera", "evtl": "eventuell",
    "ggf": "gegebenenfalls", "inkl": "inklusive", "exkl": "exklusive", "max": "maximal", "min": "minimal",
    "Nr": "Nummer", "Nrn": "Nummern", "Str": "Straße", "vgl": "vergleiche", "Vgl": "Vergleiche", "Dr": "Doktor",
    "Prof": "Professor", "Hr": "Herr", "Hrn": "Herrn", "Fr": "Frau", "St": "Sankt", "Abb": "Abbildung",
    "Kap": "Kapitel", "Bd": "Band", "Tel": "Telefon", "geb": "geboren", "gest": "gestorben", "Jh": "Jahrhundert",
    "Jhs": "Jahrhunderts", "Abs": "Absatz", "Art": "Artikel", "Std": "Stunden", "Min": "Minuten",
    "Sek": "Sekunden", "Mio": "Millionen", "Mrd": "Milliarden", "Tsd": "Tausend", "Dipl": "Diplom",
    "Ing": "Ingenieur", "bspw": "beispielsweise", "sog": "sogenannt", "sogen": "sogenannt", "jew": "jeweils",
    "zzgl": "zuzüglich", "abzgl": "abzüglich", "einschl": "einschließlich", "Aufl": "Auflage", "Hrsg": "Herausgeber",
    "urspr": "ursprünglich", "verh": "verheiratet", "allg": "allgemein", "engl": "englisch", "dt": "deutsch",
    "Mo": "Montag", "Di": "Dienstag", "Mi": "Mittwoch", "Do": "Donnerstag", "Sa": "Samstag",
}  # fmt: skip
_CLOSING = frozenset("usw etc Jh Jhs geb gest Str Std Min Sek Ing Mio Mrd Tsd".split())
_BY_LETTERS = {
    "z. B.": "zum Beispiel", "Z. B.": "Zum Beispiel", "d. h.": "das heißt", "D. h.": "Das heißt",
    "u. a.": "unter anderem", "u. Ä.": "und Ähnliches", "o. Ä.": "oder Ähnliches", "i. d. R.": "in der Regel",
    "z. T.": "zum Teil", "u. U.": "unter Umständen", "v. Chr.": "vor Christus", "n. Chr.": "nach Christus",
    "i. A.": "im Auftrag", "i. V.": "in Vertretung", "z. Hd.": "zu Händen", "s. o.": "siehe oben",
    "s. u.": "siehe unten", "v. a.": "vor allem", "z. Zt.": "zurzeit", "e. V.": "eingetragener Verein",
    "a. D.": "außer Dienst", "u. v. m.": "und vieles mehr", "m. E.": "meines Erachtens",
}  # fmt: skip
_UNITS = {
    "km/h": ("Kilometer pro Stunde", "Kilometer pro Stunde"), "m/s": ("Meter pro Sekunde", "Meter pro Sekunde"),
    **{sign: (name, name) for sign, name in {
        "km": "Kilometer", "m": "Meter", "cm": "Zentimeter", "mm": "Millimeter", "µm": "Mikrometer", "kg": "Kilogramm",
        "g": "Gramm", "mg": "Milligramm", "l": "Liter", "ml": "Milliliter", "kW": "Kilowatt", "MW": "Megawatt",
        "W": "Watt", "V": "Volt", "A": "Ampere", "Hz": "Hertz", "kHz": "Kilohertz", "MHz": "Megahertz",
        "GHz": "Gigahertz", "GB": "Gigabyte", "MB": "Megabyte", "kB": "Kilobyte", "TB": "Terabyte",
        "kWh": "Kilowattstunden", "°C": "Grad Celsius", "°F": "Grad Fahrenheit", "°": "Grad", "ha": "Hektar",
        "dB": "Dezibel", "%": "Prozent", "‰": "Promille", "PS": "P S", "kcal": "Kilokalorien"}.items()},
    "kWh": ("Kilowattstunde", "Kilowattstunden"), "t": ("Tonne", "Tonnen"), "s": ("Sekunde", "Sekunden"),
    "min": ("Minute", "Minuten"), "h": ("Stunde", "Stunden"),
}  # fmt: skip
_CURRENCIES = {"€": ("Euro", "Cent"), "EUR": ("Euro", "Cent"), "Euro": ("Euro", "Cent"), "$": ("Dollar", "Cent"),
               "USD": ("U S Dollar", "Cent"), "£": ("Pfund", "Pence"), "¥": ("Yen", ""), "CHF": ("Schweizer Franken", "Rappen"),
               "DM": ("D-Mark", "Pfennig"), "ct": ("Cent", ""), "Fr.": ("Franken", "Rappen")}  # fmt: skip
_MAGNITUDES = {"Mio": ("Million", "Millionen"), "Mrd": ("Milliarde", "Milliarden"), "Tsd": ("Tausend", "Tausend"),
               "Millionen": ("Million", "Millionen"), "Milliarden": ("Milliarde", "Milliarden"),
               "Million": ("Million", "Million"), "Milliarde": ("Milliarde", "Milliarde")}  # fmt: skip
_FEMININE = re.compile(r"(?:e|ung|heit|keit|schaft|ion|tät|ik|ei|enz|anz)$")
_NOT_FEMININE = frozenset(
    "Ende Name Junge Kunde Auge Interesse Gebäude Gemüse Käse Franke Kollege Löwe".split()
)


def _one(after: str) -> str:
    """Before a noun *ein* or *eine*, by its ending; alone *eins*."""
    if not after[:1].isupper():
        return "ein" if after else "eins"
    return "eine" if _FEMININE.search(after) and after not in _NOT_FEMININE else "ein"


_DATIVE = r"(?:[Aa]m|[Vv]om|[Zz]um|[Ii]m|[Bb]eim|[Dd]em|[Dd]en|[Dd]es|[Ss]eit|[Aa]b|[Bb]is|[Nn]ach|[Vv]or|[Uu]nter|[Mm]it|[Zz]ur|[Jj]eden)"
_PREPOSITION_DER = r"(?:[Ii]n|[Aa]us|[Mm]it|[Vv]on|[Nn]ach|[Bb]ei|[Zz]u|[Ss]eit|[Aa]n|[Aa]uf|[Vv]or|[Uu]nter|[Üü]ber|[Ww]ährend|[Ww]egen)"


def _ordinal(number: int, before: str) -> str:
    """With the ending that the words before ask for."""
    stem = number_words(number, "de", "ordinal")
    if re.search(rf"\b(?:{_DATIVE}|{_PREPOSITION_DER} (?:der|die)|[Bb]is zum) $", before):
        return stem + "n"
    if re.search(
        r"\b(?:[Dd]er|[Dd]ie|[Dd]as|[Ii]ns|[Aa]ns|[Jj]ede|[Dd]iese|[Jj]eder|[Ee]ine|[Ii]hre|[Ss]eine) $",
        before,
    ):
        return stem
    return stem + "r"


def _half(whole: int) -> str:
    return "anderthalb" if whole == 1 else (number_words(whole, "de") if whole else "") + "einhalb"


def _part(under: int) -> str:
    if under == 2:
        return "Halbe"
    stem = number_words(under, "de", "ordinal").removesuffix("te").removesuffix("s")
    return (stem + ("stel" if under >= 20 else "tel")).capitalize()


def _time(hour: int, minute: int) -> str:
    said = ("ein" if hour == 1 else number_words(hour, "de")) + " Uhr"
    return f"{said} {number_words(minute, 'de')}" if minute else said


_GENDER = {**dict.fromkeys(("Jahrhundert", "Mal", "Kapitel"), "s"),
           **dict.fromkeys(("Klasse", "Etage", "Auflage"), ""),
           **dict.fromkeys(("Weltkrieg", "Tag", "Platz", "Stock", "Geburtstag"), "r")}  # fmt: skip


def _counted_off(m: Match) -> str:
    """Before a noun that is often counted off, with its own ending where no other word asks for one."""
    said = _ordinal(int(m["number"]), m.string[: m.start()][-14:])
    return said[:-1] + _GENDER[m["noun"]] if m["noun"] and said.endswith("er") else said


def _ruler(m: Match) -> str:
    value = roman(m["roman"])
    if not value:
        return m[0]
    ending = "" if m.string[m.end() :].strip() else "."
    return f"{m['name']} der {number_words(value, 'de', 'ordinal').capitalize()}{ending}"


def _decade(m: Match) -> str:
    digits = m["number"]
    form = "year" if len(digits) == 4 else "cardinal"
    return number_words(int(digits), "de", form) + "er" + (m["ending"] or "")


WORDS = Words(
    code="de",
    comma="Komma",
    signs={".": "Punkt", "/": "Schrägstrich", "-": "minus", "_": "Unterstrich", "@": "ät", ":": "Doppelpunkt",
           "&": "und", "?": "Fragezeichen", "=": "gleich", "#": "Raute", "%": "Prozent", "+": "plus", "~": "Tilde",
           "and": "und", "over": "durch", "^2": "Quadrat", "^3": "Kubik",
           ":to": "zu"},
    latin=(
        *((r"(?<![\w.])" + re.escape(written).replace(r"\ ", r"\s?") + r"(?!\w)", said)
          for written, said in _BY_LETTERS.items()),
        (r"(?<=[a-zäöüß])(str|Str)\.(?!\w)", lambda m: "straße" if m[1] == "str" else "Straße"),
        (r"\bund/oder\b", "und oder"), (r"\b[Ss]\.\s?(?=\d)", "Seite "), (r"\bff\.?(?!\w)", "und folgende"),
        (r"\b(?<![.'])(?:[A-Za-z]\.){2,}", lambda m: " ".join(m[0].upper().split("."))[:-1]),
        (r"\b([A-Z])\.(?=\s?(?:[A-ZÄÖÜ]|(?:von|van|zu|de)\b))", r"\1 "),
    ),
    short=_SHORT,
    closing=_CLOSING,
    months={**{name: number for number, name in enumerate(_MONTHS, 1)}, **_SHORT_MONTHS},
    month_names=_MONTHS,
    units=_UNITS,
    currencies=_CURRENCIES,
    magnitudes=_MAGNITUDES,
    between=(
        (r"#(?=\d)", "Nummer "), (r"§§\s?", "Paragrafen "), (r"§\s?", "Paragraf "), (r"(?<=\d) - (?=\d)", " minus "),
        (r"(?<=\d) ?[×x*] ?(?=\d)", " mal "), (r"(?<=\d) ?÷ ?(?=\d)", " geteilt durch "),
        (r"(?<=\d)(%|°C?|€|kg|km|m)? ?- ?(?=[€$£]?\d)(?!\d\d-\d\d(?!\d))", lambda m: (m[1] or "") + " bis "),
        (r"(?<![\w.,)])-(?=[€$£]?\d)", "minus "), (r"~ ?(?=\d)", "ungefähr "), (r"(?<![\w'])'(?=\d)", ""),
        (r"\b([A-Z]{1,3}) ?& ?([A-Z]{1,3})\b", lambda m: f"{' '.join(m[1])} und {' '.join(m[2])}"),
    ),
    numbers=(
        (r"\b(?P<name>[A-ZÄÖÜ][a-zäöüß]+) (?P<roman>[IVX]+)\.(?!\w)", _ruler),
        (r"(?<![\w.,])(?P<number>[12]\d\d0|[1-9]0)er(?P<ending>n?)(?!\w)-?", _decade),
        (rf"(?<![\w.,])(?P<number>\d{{1,3}})\.(?= ?(?:(?P<noun>{'|'.join(_GENDER)})|(?:bis|und) \d+\.))", _counted_off),
        (rf"(?<=\b)(?P<before>(?:{_DATIVE}|[Dd]er|[Dd]ie|[Dd]as|[Ii]ns|[Aa]ns|[Jj]eder?|[Dd]iese|[Ee]ine|[Ii]hre|[Ss]eine) )"
         rf"(?P<number>\d{{1,3}})\.(?= ?[A-Za-zÄÖÜäöü])(?! (?:{'|'.join([*_MONTHS, *_SHORT_MONTHS])})\b)",
         lambda m: m["before"] + _ordinal(int(m["number"]), (m.string[: m.start()] + m["before"])[-14:])),
    ),
    after=(
        (r"\^zwei\b", " Quadrat"), (r"\^drei\b", " hoch drei"), (r"\^(?=\w)", " hoch "), (r"%", " Prozent"),
        (r"‰", " Promille"), (r"±|\+/-", " plus minus "), (r"×", " mal "), (r"÷", " geteilt durch "), (r"°", " Grad "),
        (r"&", " und "), (r"\+", " plus "), (r"=+", " gleich "), (r"@", " ät "), (r"€", " Euro "), (r"\$", " Dollar "),
        (r"£", " Pfund "), (r"→", " zu "), (r"≤", " kleiner oder gleich "), (r"≥", " größer oder gleich "),
        (r"(?<=\s)<(?=\s)", " kleiner als "), (r"(?<=\s)>(?=\s)", " größer als "), (r"\|", ", "),
    ),
    said=frozenset("NATO NASA UNO TÜV PIN RAM LAN FIFA UEFA IKEA OPEC AIDS SARS".split()),
    common=frozenset("und oder der die das ist ein eine nicht mit auf von zu im in ich du er sie es wir nie kein bitte".split()),
    numbered=("Kapitel", "Teil", "Band", "Akt", "Artikel", "Stufe", "Klasse", "Typ", "Phase"),
    one=_one,
    day=_ordinal,
    time=_time,
    half=_half,
    part=_part,
)  # fmt: skip
STEPS = steps(WORDS)
