"""Translates languages between what users write, what the models take and what LiveKit is told."""

from __future__ import annotations

import functools

AUTO = "auto"

# Whisper's own list (the tokenizer of large-v3 and large-v3-turbo): code on the wire, name.
# fmt: off
WHISPER_LANGUAGES: dict[str, str] = {
    "af": "Afrikaans", "am": "Amharic", "ar": "Arabic", "as": "Assamese", "az": "Azerbaijani",
    "ba": "Bashkir", "be": "Belarusian", "bg": "Bulgarian", "bn": "Bengali", "bo": "Tibetan",
    "br": "Breton", "bs": "Bosnian", "ca": "Catalan", "cs": "Czech", "cy": "Welsh",
    "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fo": "Faroese",
    "fr": "French", "gl": "Galician", "gu": "Gujarati", "ha": "Hausa", "haw": "Hawaiian",
    "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "ht": "Haitian-Creole", "hu": "Hungarian",
    "hy": "Armenian", "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese",
    "jw": "Javanese", "ka": "Georgian", "kk": "Kazakh", "km": "Khmer", "kn": "Kannada",
    "ko": "Korean", "la": "Latin", "lb": "Luxembourgish", "ln": "Lingala", "lo": "Lao",
    "lt": "Lithuanian", "lv": "Latvian", "mg": "Malagasy", "mi": "Maori", "mk": "Macedonian",
    "ml": "Malayalam", "mn": "Mongolian", "mr": "Marathi", "ms": "Malay", "mt": "Maltese",
    "my": "Burmese", "ne": "Nepali", "nl": "Dutch", "nn": "Nynorsk", "no": "Norwegian",
    "oc": "Occitan", "pa": "Punjabi", "pl": "Polish", "ps": "Pashto", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "sa": "Sanskrit", "sd": "Sindhi", "si": "Sinhala",
    "sk": "Slovak", "sl": "Slovenian", "sn": "Shona", "so": "Somali", "sq": "Albanian",
    "sr": "Serbian", "su": "Sundanese", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil",
    "te": "Telugu", "tg": "Tajik", "th": "Thai", "tk": "Turkmen", "tl": "Tagalog",
    "tr": "Turkish", "tt": "Tatar", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek",
    "vi": "Vietnamese", "yi": "Yiddish", "yo": "Yoruba", "yue": "Cantonese", "zh": "Chinese",
}
# fmt: on

# Baseten's Whisper runtime decodes these as zh and converts the script.
_WHISPER_SCRIPTS = {"zh-hant", "zh-hans"}
_TRADITIONAL_REGIONS = {"tw", "hk", "mo"}

# Qwen3-ASR's thirty languages: name on the wire, code towards LiveKit.
QWEN3_LANGUAGES: dict[str, str] = {
    "Chinese": "zh",
    "English": "en",
    "Cantonese": "yue",
    "Arabic": "ar",
    "German": "de",
    "French": "fr",
    "Spanish": "es",
    "Portuguese": "pt",
    "Indonesian": "id",
    "Italian": "it",
    "Korean": "ko",
    "Russian": "ru",
    "Thai": "th",
    "Vietnamese": "vi",
    "Japanese": "ja",
    "Turkish": "tr",
    "Hindi": "hi",
    "Malay": "ms",
    "Dutch": "nl",
    "Swedish": "sv",
    "Danish": "da",
    "Finnish": "fi",
    "Polish": "pl",
    "Czech": "cs",
    "Filipino": "fil",
    "Persian": "fa",
    "Greek": "el",
    "Hungarian": "hu",
    "Macedonian": "mk",
    "Romanian": "ro",
}

# Other spellings of the same languages: old codes, macro-language members, everyday names.
_ALIASES = {
    "cmn": "zh",
    "mandarin": "zh",
    "zh-yue": "yue",
    "fil": "tl",
    "filipino": "tl",
    "iw": "he",
    "in": "id",
    "ji": "yi",
    "jv": "jw",
    "nb": "no",
    "bokmal": "no",
    "myanmar": "my",
    "valencian": "ca",
    "castilian": "es",
    "flemish": "nl",
    "farsi": "fa",
    "moldovan": "ro",
}
# Standard codes of the languages for which Whisper has another code.
_STANDARD_CODES = {"jw": "jv"}
_CODES_BY_NAME = {name.lower(): code for code, name in WHISPER_LANGUAGES.items()}


def base_code(language: str) -> str:
    """The code of a language as Whisper spells it, whatever case, region or name it came with.

    Returns the lower-cased input without its region where the language is not known.
    """
    spelled = language.strip().lower().replace("_", "-").replace(" ", "-")
    known = _ALIASES.get(spelled) or _CODES_BY_NAME.get(spelled)
    if known:
        return known
    base = spelled.split("-")[0]
    return _ALIASES.get(base, base)


def to_whisper(parameter: str, language: str, *, may_be_auto: bool = True) -> str:
    """What goes into ``audio_language``: a Whisper code or "auto".

    Args:
        parameter: The name of the argument, for the error.
        language: A BCP-47 tag or ISO 639-1 code in any case, or an English name.

    Raises:
        ValueError: Whisper does not know the language. The server would take it and then fail every
            transcription (`docs/protocol.md`, metadata).
    """
    subtags = language.strip().lower().replace("_", "-").split("-")
    if subtags == [AUTO] and may_be_auto:
        return AUTO
    if subtags[0] in ("zh", "cmn"):
        if {"hant", *_TRADITIONAL_REGIONS} & set(subtags[1:]):
            return "zh-hant"
        if "hans" in subtags[1:]:
            return "zh-hans"
    code = base_code(language)
    if code not in WHISPER_LANGUAGES and code not in _WHISPER_SCRIPTS:
        raise ValueError(
            f"{parameter}={language!r}: not a language that Whisper knows. Use a code such as "
            '"en", "de" or "zh", or "auto" to detect it.'
        )
    return code


def to_qwen3(parameter: str, language: str) -> str:
    """What Qwen3-ASR takes as ``audio_language``: a language's English name, or "auto".

    Raises:
        ValueError: Not one of the model's thirty languages.
    """
    if language.strip().lower() == AUTO:
        return AUTO
    code = base_code(language)
    for name, standard in QWEN3_LANGUAGES.items():
        if code == base_code(standard):
            return name
    raise ValueError(
        f"{parameter}={language!r}: not one of Qwen3-ASR's languages "
        f'({", ".join(QWEN3_LANGUAGES)}), nor "auto".'
    )


@functools.lru_cache(maxsize=256)
def to_standard(reported: str) -> str:
    """A server's language, code or name, as the standard code that LiveKit is told; "" for none."""
    if not reported or reported.strip().lower() == AUTO:
        return ""
    for name, code in QWEN3_LANGUAGES.items():
        if reported.strip().lower() == name.lower():
            return code
    if (spelled := reported.strip().lower().split("-")[0]) in QWEN3_LANGUAGES.values():
        return spelled
    code = base_code(reported)
    return _STANDARD_CODES.get(code, code)
