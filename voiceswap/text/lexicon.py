"""Tables of English: units, currencies, abbreviations, acronyms and other words that rules look up."""

from __future__ import annotations

MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
MONTH = {name: name for name in MONTHS} | {name[:3]: name for name in MONTHS} | {"Sept": "September"}
DAYS = {name[:3]: name for name in ("Monday", "Wednesday", "Friday", "Saturday", "Sunday")} | {
    **dict.fromkeys(("Tue", "Tues"), "Tuesday"),
    **dict.fromkeys(("Thu", "Thur", "Thurs"), "Thursday"),
}

# written: (one, several); the plural is singular + s where it is not given
UNITS: dict[str, tuple[str, str]] = {
    unit: (one, many or one + "s")
    for line in """
    mm millimeter; cm centimeter; dm decimeter; m meter; km kilometer; nm nanometer; μm micrometer;
    mi mile; yd yard
    ft foot feet; in inch inches; g gram; kg kilogram; mg milligram; μg microgram; lb pound; lbs pound;
    oz ounce
    l liter; L liter; ml milliliter; mL milliliter; dl deciliter; dL deciliter; cl centiliter; gal gallon;
    qt quart; pt pint
    tsp teaspoon; tbsp tablespoon; ha hectare; ac acre; s second; sec second; secs second; min minute;
    mins minute
    h hour; hr hour; hrs hour; wk week; wks week; yr year; yrs year; mo month; ms millisecond; μs microsecond
    ns nanosecond; Hz hertz hertz; kHz kilohertz kilohertz; MHz megahertz megahertz; GHz gigahertz gigahertz
    W watt; kW kilowatt; MW megawatt; GW gigawatt; Wh watt-hour; kWh kilowatt-hour; MWh megawatt-hour; V volt
    kV kilovolt; mV millivolt; mA milliampere; mAh milliampere-hour; Ω ohm; kΩ kilohm; J joule; kJ kilojoule
    Pa pascal; hPa hectopascal; kPa kilopascal; cal calorie; kcal kilocalorie; dB decibel; B byte; kB kilobyte
    KB kilobyte; MB megabyte; GB gigabyte; TB terabyte; PB petabyte; K kelvin kelvin; px pixel
    """.replace("\n", ";").split(";")
    if line.strip()
    for unit, one, many in [(*line.split(), "")[:3]]
} | {
    "mph": ("mile per hour", "miles per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"),
    "mpg": ("mile per gallon", "miles per gallon"),
    "rpm": ("revolution per minute", "revolutions per minute"),
    "fps": ("frame per second", "frames per second"),
    "psi": ("pound per square inch", "pounds per square inch"),
    "dpi": ("dot per inch", "dots per inch"),
    "kbps": ("kilobit per second", "kilobits per second"),
    "Mbps": ("megabit per second", "megabits per second"),
    "Gbps": ("gigabit per second", "gigabits per second"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degree", "degrees"),
    "hp": ("horsepower", "horsepower"),
    "kt": ("knot", "knots"),
}  # fmt: skip
SPACED_UNITS = {"s", "h", "K", "B", "J", "L", "in", "mo", "ac", "pt"}
"""Read as units only after a blank (1980s, room 5B) or, for `in`, after feet."""

_DOLLAR = ("dollar", "dollars", "cent", "cents")
_POUND = ("pound", "pounds", "penny", "pence")
_EURO = ("euro", "euros", "cent", "cents")
_YEN = ("yen", "yen", "", "")
_FRANC = ("Swiss franc", "Swiss francs", "centime", "centimes")
_RUPEE = ("rupee", "rupees", "paisa", "paise")
_YUAN = ("yuan", "yuan", "", "")
_WON = ("won", "won", "", "")
_RUBLE = ("ruble", "rubles", "kopeck", "kopecks")
_ZLOTY = ("zloty", "zlotys", "grosz", "groszy")
_REAL = ("real", "reais", "centavo", "centavos")
_PESO = ("peso", "pesos", "centavo", "centavos")


def _dollars(country: str) -> tuple[str, str, str, str]:
    return f"{country} dollar", f"{country} dollars", "cent", "cents"


# written: (one, several, one hundredth, several hundredths)
CURRENCIES: dict[str, tuple[str, str, str, str]] = {
    "$": _DOLLAR, "£": _POUND, "€": _EURO, "¥": _YEN, "₹": _RUPEE, "₩": _WON, "₽": _RUBLE, "zł": _ZLOTY,
    "US$": _dollars("U S"), "USD": _dollars("U S"), "C$": _dollars("Canadian"), "CA$": _dollars("Canadian"),
    "CAD": _dollars("Canadian"), "A$": _dollars("Australian"), "AU$": _dollars("Australian"),
    "AUD": _dollars("Australian"), "NZ$": _dollars("New Zealand"), "NZD": _dollars("New Zealand"),
    "HK$": _dollars("Hong Kong"), "HKD": _dollars("Hong Kong"), "S$": _dollars("Singapore"),
    "SGD": _dollars("Singapore"), "NT$": _dollars("Taiwan"), "GBP": _POUND, "EUR": _EURO, "JPY": _YEN,
    "CHF": _FRANC, "INR": _RUPEE, "Rs": _RUPEE, "CNY": _YUAN, "RMB": _YUAN, "CN¥": _YUAN, "KRW": _WON,
    "RUB": _RUBLE, "PLN": _ZLOTY, "BRL": _REAL, "R$": _REAL, "MXN": _PESO, "MX$": _PESO, "₱": _PESO,
    "SEK": ("Swedish krona", "Swedish kronor", "öre", "öre"),
    "NOK": ("Norwegian krone", "Norwegian kroner", "øre", "øre"),
    "DKK": ("Danish krone", "Danish kroner", "øre", "øre"),
    "kr": ("krone", "kroner", "", ""), "₿": ("bitcoin", "bitcoin", "", ""), "BTC": ("bitcoin",
    "bitcoin", "", ""),
    "₺": ("lira", "lira", "", ""), "TRY": ("Turkish lira", "Turkish lira", "", ""),
    "₪": ("shekel", "shekels", "agora", "agorot"), "₴": ("hryvnia", "hryvnias", "", ""),
    "₫": ("dong", "dong", "", ""), "₦": ("naira", "naira", "kobo", "kobo"), "฿": ("baht", "baht", "", ""),
    "ZAR": ("rand", "rand", "cent", "cents"), "¢": ("cent", "cents", "", ""),
}  # fmt: skip
MAGNITUDES = {
    "k": "thousand",
    "m": "million",
    "mn": "million",
    "b": "billion",
    "bn": "billion",
    "tn": "trillion",
}

TITLES = {  # before a name; their period never ends a sentence
    "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Prof": "Professor", "Capt": "Captain", "Cpt": "Captain",
    "Lt": "Lieutenant", "Col": "Colonel", "Gen": "General", "Sgt": "Sergeant", "Cmdr": "Commander",
    "Adm": "Admiral", "Maj": "Major", "Rev": "Reverend", "Sen": "Senator", "Rep": "Representative",
    "Gov": "Governor", "Pres": "President", "Hon": "Honorable", "Mt": "Mount", "Ft": "Fort",
}  # fmt: skip
COUNTED = {  # before a number
    "No": "number", "Nos": "numbers", "no": "number", "Fig": "figure", "fig": "figure", "Figs": "figures",
    "p": "page", "pp": "pages", "Vol": "volume", "vol": "volume", "Ch": "chapter", "ch": "chapter",
    "Sec": "section", "sec": "section", "Eq": "equation", "Apt": "Apartment", "ca": "circa", "c": "circa",
    "Art": "article", "Nr": "number",
}  # fmt: skip
SHORTENED = {  # may end a sentence
    "etc": "et cetera", "vs": "versus", "Inc": "Incorporated", "Ltd": "Limited", "Co": "Company",
    "Corp": "Corporation", "Bros": "Brothers", "Jr": "Junior", "Sr": "Senior", "Ave": "Avenue",
    "Blvd": "Boulevard", "Rd": "Road", "Ln": "Lane", "Hwy": "Highway", "Sq": "Square", "Pkwy": "Parkway",
    "Dept": "Department", "dept": "department", "approx": "approximately", "est": "established",
    "Univ": "University", "Assn": "Association", "govt": "government", "misc": "miscellaneous", "max":
    "maximum",
    "Esq": "Esquire", "Apt": "Apartment", "cf": "compare", "al": "al",
}  # fmt: skip
STARTERS = frozenset(
    """The A An He She It We They You I This That These Those There Then But And So In On At As If When
    While After
    Before For Its His Her Their Our My What Who Why How Where No Yes Not Now However Or Some All Once With
    Later
    Today""".split()
)
"""Words that begin a sentence far more often than they continue a name."""

KINGS = (
    "Henry Louis Charles George Edward William James Elizabeth Richard John Paul Pius Benedict Catherine "
    "Philip "
    "Frederick Alexander Nicholas Francis Leo Gregory Innocent Napoleon Ramesses Ivan Peter Ptolemy Mary "
    "Robert "
    "Leopold Otto Ferdinand Alfonso Gustav Christian Haakon Harald Felipe Carlos Wilhelm Umberto "
    "Emmanuel Baldwin "
    "Clement Urban Boniface Xerxes Darius Cyrus Mehmed Murad Selim Constantine Theodosius Joseph Margrethe"
).split()
NUMBERED = (
    "Chapter Part Act Scene Book Volume Section Article War Type Phase Class Level Stage Figure Table"
).split()

SPELLED = frozenset(
    """US USA UK EU UN IT ID IP AI UI UX OS AM PM UAE USB USSR UCLA NAACP IEEE FAQ IOU AD BC BCE CE EST IQ
    ISO IBM IMF
    API CIA FBI CEO CPU GPU SUV UFO ATM AKA DIY EPA ESA ICU IPO IRA IRS MIT NBA NFL NHL NYU ODE OECD SAT
    URL VIP WHO
    EMI IT IV IVF AC DC AOL BBC CNN TV OCD ADHD IOC URI SEO ETA RAF EEG ECG""".split()
) - {"SAT", "ODE", "WHO"}
"""Acronyms said letter by letter although they could be read as words."""
SAID = frozenset(
    "NASA NATO UNESCO UNICEF OPEC RAM ROM LAN SIM PIN AIDS SWAT FIFA UEFA IKEA LASER RADAR COVID".split()
)
RESPELLED = {"OK": "okay", "JPEG": "jaypeg", "WWI": "World War one", "WWII": "World War two"}
SHORT_WORDS = frozenset(
    """a all am an and any are as ask at bad be big bit but buy by can day did do does done eat end few for
    free from
    get go god good got had has have he her here him his hot how if in into is it its just key know less
    let like
    look love low mad man many may me men more most much must my need never new next no nor not now of off
    old on one
    only or our out over own put ran read red run sad said sale same sat saw say see set she shut sit six
    so some
    stop such ten than that the them then they this time to too top try two up very via was way we well
    went were
    what when who why will win with won yes yet you your aid air arm art bag bar bed box boy bus car cat
    cup cut dog
    dry ear egg eye fat fit fly fun gas guy hat hit ice job joy law lie lot mom dad oil pay pet sea sir sky
    son sun
    tax tea tie war wet zoo fire help danger warning wow hey hello please""".split()
)
FILE_TYPES = {
    **{
        kind: " ".join(kind.upper())
        for kind in "pdf csv tsv txt html htm css js ts py md xml png jpg mp3 mp4".split()
    },
    **{
        kind: " ".join(kind.upper())
        for kind in "xls xlsx ppt pptx docx exe dll cpp rs sql yml svg flv mov".split()
    },
    "json": "jason",
    "jpeg": "jaypeg",
    "gif": "gif",
    "wav": "wave",
    "zip": "zip",
    "doc": "doc",
    "bat": "bat",
    "java": "java",
    "yaml": "yaml",
    "toml": "toml",
    "log": "log",
    "ogg": "ogg",
    "flac": "flac",
    "bin": "bin",
}
DOMAINS = (
    "com org net edu gov mil info io ai co uk de fr nl eu app dev tv ca au jp cn ru br ch es pl se us"
).split()
ADDRESS_WORDS = {
    name: " ".join(name.upper()) for name in "www edu io ai uk de fr nl eu tv jp us".split()
} | FILE_TYPES
STATES = dict(
    pair.split(":")
    for pair in (
        "AL:Alabama AK:Alaska AZ:Arizona AR:Arkansas CA:California CO:Colorado CT:Connecticut "
        "DE:Delaware FL:Florida "
        "GA:Georgia HI:Hawaii ID:Idaho IL:Illinois IN:Indiana IA:Iowa KS:Kansas KY:Kentucky LA:Louisiana "
        "ME:Maine "
        "MD:Maryland MA:Massachusetts MI:Michigan MN:Minnesota MS:Mississippi MO:Missouri MT:Montana "
        "NE:Nebraska "
        "NV:Nevada NH:New_Hampshire NJ:New_Jersey NM:New_Mexico NY:New_York NC:North_Carolina "
        "ND:North_Dakota "
        "OH:Ohio OK:Oklahoma OR:Oregon PA:Pennsylvania RI:Rhode_Island SC:South_Carolina SD:South_Dakota "
        "TN:Tennessee TX:Texas UT:Utah VT:Vermont VA:Virginia WA:Washington WV:West_Virginia "
        "WI:Wisconsin WY:Wyoming"
    ).split()
)
GREEK = dict(
    zip(
        "αβγδεζηθικλμνξοπρσςτυφχψω",
        """alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma
        sigma tau
        upsilon phi chi psi omega""".split(),
        strict=True,
    )
)
