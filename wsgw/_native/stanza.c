/*
 * A pointer is a place in the stanza; NULL means that the stanza is not common. `end` is the end of the bytes that may
 * belong to the stanza, and no function reads there. Each byte is looked at once, so that the time is linear.
 */
#include "stanza.h"

#include <string.h>

#include "characters.h"

#define MAX_NAME 32
#define MAX_VALUE 999
/* Digits of the largest number that a reference may have. */
#define MAX_DIGITS 6

#define CLIENT "jabber:client"
#define STREAM_MANAGEMENT "urn:xmpp:sm:3"
/* Among its namespaces are those that no element may declare (Namespaces in XML 1.0 section 3). */
#define RESERVED "http://www.w3.org/"

typedef const uint8_t *Place;

typedef struct {
    Place at;
    size_t size;
} Span;

static bool is_span(Span span, const char *text)
{
    return span.size == strlen(text) && memcmp(span.at, text, span.size) == 0;
}

static bool begins_with(Place at, Place end, const char *text)
{
    size_t size = strlen(text);
    return (size_t)(end - at) >= size && memcmp(at, text, size) == 0;
}

static bool is_letter(uint8_t byte)
{
    return (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_in_name(uint8_t byte)
{
    return is_letter(byte) || is_digit(byte) || byte == '_' || byte == '.' || byte == '-';
}

Place skip_white_space(Place at, Place end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

/* name = letter *31( letter / digit / "_" / "." / "-" ) */
static Place read_name(Place at, Place end, Span *name)
{
    if (at >= end || !is_letter(*at))
        return NULL;
    name->at = at;
    while (at < end && is_in_name(*at))
        at++;
    name->size = (size_t)(at - name->at);
    return name->size <= MAX_NAME ? at : NULL;
}

/* Whether a decimal reference may have this number: an XML character, see the grammar. */
static bool is_referable(unsigned number)
{
    return number == '\t' || number == '\n' || number == '\r' || (number >= 32 && number <= 49999) ||
           (number >= 100000 && number <= 199999);
}

/* The digits and the semicolon of a decimal reference. */
static Place read_number(Place at, Place end)
{
    unsigned number = 0;
    Place first = at;
    while (at < end && is_digit(*at) && at - first < MAX_DIGITS)
        number = number * 10 + (unsigned)(*at++ - '0');
    if (at == first || *first == '0' || !is_referable(number) || at >= end || *at != ';')
        return NULL;
    return at + 1;
}

/* reference = "&" ( "amp" / "lt" / "gt" / "apos" / "quot" / "#" number ) ";" */
static Place read_reference(Place at, Place end)
{
    static const char *const references[] = {"&amp;", "&lt;", "&gt;", "&apos;", "&quot;"};
    if (begins_with(at, end, "&#"))
        return read_number(at + 2, end);
    for (size_t i = 0; i < sizeof references / sizeof *references; i++)
        if (begins_with(at, end, references[i]))
            return at + strlen(references[i]);
    return NULL;
}

/* text, up to the "<" after it; it begins after a tag, which is longer than the two bytes before a ">" */
static Place read_text(Place at, Place end)
{
    while (at != NULL && (at = skip_plain(at, end)) < end) {
        if (*at == '<')
            return at;
        if (*at >= 0x80)
            at = skip_xml_character(at, end);
        else if (*at == '&')
            at = read_reference(at, end);
        else if (*at == '>' ? at[-1] == ']' && at[-2] == ']' : *at != '\t' && *at != '\n' && *at != '\r')
            return NULL;
        else
            at++;
    }
    return NULL;
}

/* value, within quotes: no quotes of either kind, no markup, no white space but blanks */
static Place read_value(Place at, Place end, Span *value)
{
    if (at >= end || (*at != '\'' && *at != '"'))
        return NULL;
    const uint8_t quote = *at++;
    value->at = at;
    while (at < end && *at != '\'' && *at != '"') {
        if (*at >= 0x80)
            at = skip_xml_character(at, end);
        else if (*at == '&')
            at = read_reference(at, end);
        else if (is_plain(*at))
            at++;
        else
            return NULL;
        if (at == NULL)
            return NULL;
    }
    if (at >= end || *at != quote)
        return NULL;
    value->size = (size_t)(at - value->at);
    return value->size <= MAX_VALUE ? at + 1 : NULL;
}

/* attribute = " " ( "xml:lang" / name ) "=" value */
static Place read_attribute(Place at, Place end, Span *name, Span *value)
{
    at++; /* the blank */
    if (begins_with(at, end, "xml:lang=")) {
        name->at = at;
        name->size = strlen("xml:lang");
        at += name->size;
    } else {
        at = read_name(at, end, name);
    }
    if (at == NULL || at >= end || *at != '=')
        return NULL;
    return read_value(at + 1, end, value);
}

static bool is_among(Span name, const Span *names, int count)
{
    for (int i = 0; i < count; i++)
        if (names[i].size == name.size && memcmp(names[i].at, name.at, name.size) == 0)
            return true;
    return false;
}

/*
 * The attributes of a tag, up to its " />", "/>" or ">". No name may be there twice. `declared` is the value of xmlns,
 * with the place NULL if the tag has none; such a value has no reference, so that its bytes are the namespace.
 */
static Place read_attributes(Place at, Place end, const Bounds *bounds, Span *declared)
{
    Span names[MAX_ATTRIBUTES];
    int count = 0;
    declared->at = NULL;
    while (end - at >= 2 && at[0] == ' ' && at[1] != '/') {
        Span value;
        if (count >= bounds->attributes) /* at most MAX_ATTRIBUTES: names has room for one more */
            return NULL;
        at = read_attribute(at, end, &names[count], &value);
        if (at == NULL || is_among(names[count], names, count))
            return NULL;
        if (is_span(names[count], "xmlns")) {
            if (memchr(value.at, '&', value.size) != NULL)
                return NULL;
            *declared = value;
        }
        count++;
    }
    return at;
}

typedef enum { OPENS, CLOSES_ITSELF } TagEnd;

/* tag-end = [ " " ] "/>" / ">" */
static Place read_tag_end(Place at, Place end, TagEnd *tag_end)
{
    *tag_end = CLOSES_ITSELF;
    if (begins_with(at, end, " />"))
        return at + 3;
    if (begins_with(at, end, "/>"))
        return at + 2;
    *tag_end = OPENS;
    return begins_with(at, end, ">") ? at + 1 : NULL;
}

static bool is_reserved(Span namespace)
{
    return namespace.at != NULL && begins_with(namespace.at, namespace.at + namespace.size, RESERVED);
}

/* The start tag of an element within the stanza. */
static Place read_child_tag(Place at, Place end, const Bounds *bounds, Span *name, TagEnd *tag_end)
{
    Span declared;
    at = read_name(at + 1, end, name);
    if (at == NULL || (at = read_attributes(at, end, bounds, &declared)) == NULL || is_reserved(declared))
        return NULL;
    return read_tag_end(at, end, tag_end);
}

/* The end tag of the element `name`; `at` is its "<", and the byte after that is "/". */
static Place read_end_tag(Place at, Place end, Span name)
{
    at += 2;
    if ((size_t)(end - at) <= name.size || memcmp(at, name.at, name.size) != 0 || at[name.size] != '>')
        return NULL;
    return at + name.size + 1;
}

/* The content of the element `root` and its end tag. A loop with a stack, so that no stanza can exhaust C's own. */
static Place read_content(Place at, Place end, const Bounds *bounds, Span root)
{
    Span open[MAX_LEVELS];
    int level = 1;
    open[0] = root;
    while (level > 0) {
        at = read_text(at, end);
        if (at == NULL || end - at < 2)
            return NULL;
        if (at[1] == '/') {
            at = read_end_tag(at, end, open[--level]);
        } else {
            TagEnd tag_end;
            if (level >= bounds->levels) /* at most MAX_LEVELS: open has room for one more */
                return NULL;
            at = read_child_tag(at, end, bounds, &open[level], &tag_end);
            if (at != NULL && tag_end == OPENS)
                level++;
        }
        if (at == NULL)
            return NULL;
    }
    return at;
}

static const char *const root_names[KINDS] = {"message", "presence", "iq", "r", "a"};

static bool find_kind(Span name, Kind *kind)
{
    for (int i = 0; i < KINDS; i++) {
        if (is_span(name, root_names[i])) {
            *kind = (Kind)i;
            return true;
        }
    }
    return false;
}

/* Whether an element of this kind is in its namespace. */
static bool has_namespace(Kind kind, Span declared, bool inherits)
{
    if (declared.at == NULL)
        return inherits && kind <= IQ;
    return is_span(declared, kind <= IQ ? CLIENT : STREAM_MANAGEMENT);
}

bool read_stanza(Place at, Place end, const Bounds *bounds, bool inherits, Stanza *stanza)
{
    Span name, declared;
    TagEnd tag_end;
    if ((size_t)(end - at) > bounds->size)
        end = at + bounds->size;
    if (at >= end || *at != '<' || (at = read_name(at + 1, end, &name)) == NULL || !find_kind(name, &stanza->kind))
        return false;
    stanza->after_name = at;
    at = read_attributes(at, end, bounds, &declared);
    if (at == NULL || !has_namespace(stanza->kind, declared, inherits))
        return false;
    stanza->declares = declared.at != NULL;
    at = read_tag_end(at, end, &tag_end);
    if (at != NULL && tag_end == OPENS)
        at = stanza->kind <= IQ ? read_content(at, end, bounds, name) : NULL;
    stanza->end = at;
    return at != NULL;
}
