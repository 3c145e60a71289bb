"""Words that no identifier of generated code may be: those that mean something in Python, C99 (to C23, C++) or JavaScript.

Python: "Lexical analysis" and "Built-in Functions" of the language and library references. C: ISO/IEC 9899:1999, 6.4.1 and
7.1.3, with the keywords that C11, C23 and C++20 added, and the functions and macros of the headers that numerical code
includes. JavaScript: ECMA-262, 12.7.2 and 19, with the names that browsers and Node.js define.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PYTHON = _words(
    """
    False None True and as assert async await break class continue def del elif else except finally for from global if
    import in is lambda nonlocal not or pass raise return try while with yield match case type
    abs aiter all anext any ascii bin bool breakpoint bytearray bytes callable chr classmethod compile complex copyright
    credits delattr dict dir divmod enumerate eval exec exit filter float format frozenset getattr globals hasattr hash
    help hex id input int isinstance issubclass iter len license list locals map max memoryview min next object oct open
    ord pow print property quit range repr reversed round set setattr slice sorted staticmethod str sum super tuple type
    vars zip self cls
    numpy np scipy special linalg math cmath fft base64
    """
)
"""Keywords, builtins, and the modules that generated code imports."""

MATH = _words(
    """
    acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs fdim floor fma fmax
    fmin fmod frexp hypot ilogb ldexp lgamma llrint llround log log10 log1p log2 logb lrint lround modf nan nearbyint
    nextafter nexttoward pow remainder remquo rint round scalbln scalbn sin sinh sqrt tan tanh tgamma trunc
    """
)
"""Functions of math.h, of which there is one of each for float (`sinf`) and long double (`sinl`)."""

C = _words(
    """
    auto break case char const continue default do double else enum extern float for goto if inline int long register
    restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
    alignas alignof bool complex constexpr false imaginary nullptr static_assert thread_local true typeof typeof_unqual
    noreturn asm fortran and and_eq bitand bitor catch class co_await co_return co_yield compl concept const_cast consteval
    constinit decltype delete dynamic_cast explicit export friend mutable namespace new noexcept not not_eq operator or
    or_eq private protected public reinterpret_cast requires static_cast template this throw try typeid typename using
    virtual wchar_t xor xor_eq
    fpclassify isfinite isinf isnan isnormal signbit isgreater isgreaterequal isless islessequal islessgreater isunordered
    math_errhandling float_t double_t
    HUGE_VAL HUGE_VALF HUGE_VALL INFINITY NAN FP_INFINITE FP_NAN FP_NORMAL FP_SUBNORMAL FP_ZERO FP_ILOGB0 FP_ILOGBNAN
    MATH_ERRNO MATH_ERREXCEPT I
    cabs cacos cacosh carg casin casinh catan catanh ccos ccosh cexp cimag clog conj cpow cproj creal csin csinh csqrt ctan
    ctanh
    abort abs atexit atof atoi atol atoll bsearch calloc div exit free getenv labs ldiv llabs lldiv malloc mblen mbstowcs
    mbtowc qsort rand realloc srand strtod strtof strtol strtold strtoll strtoul strtoull system wcstombs wctomb div_t
    ldiv_t lldiv_t
    memchr memcmp memcpy memmove memset strcat strchr strcmp strcoll strcpy strcspn strerror strlen strncat strncmp strncpy
    strpbrk strrchr strspn strstr strtok strxfrm
    fclose feof ferror fflush fgetc fgetpos fgets fopen fprintf fputc fputs fread freopen fscanf fseek fsetpos ftell fwrite
    getc getchar gets perror printf putc putchar puts remove rename rewind scanf setbuf setvbuf snprintf sprintf sscanf
    tmpfile tmpnam ungetc vfprintf vfscanf vprintf vscanf vsnprintf vsprintf vsscanf fpos_t stdin stdout stderr
    assert errno offsetof main NULL EOF BUFSIZ FILE RAND_MAX EXIT_SUCCESS EXIT_FAILURE EDOM ERANGE EILSEQ CHAR_BIT
    ptrdiff_t size_t ssize_t int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t intptr_t uintptr_t intmax_t
    uintmax_t
    CHAR_MAX CHAR_MIN SHRT_MAX SHRT_MIN INT_MAX INT_MIN UINT_MAX LONG_MAX LONG_MIN LLONG_MAX LLONG_MIN ULONG_MAX ULLONG_MAX
    SIZE_MAX INT8_MAX INT16_MAX INT32_MAX INT64_MAX INT8_MIN INT16_MIN INT32_MIN INT64_MIN UINT8_MAX UINT16_MAX UINT32_MAX
    UINT64_MAX INT8_C INT16_C INT32_C INT64_C UINT8_C UINT16_C UINT32_C UINT64_C
    DBL_EPSILON DBL_MAX DBL_MIN DBL_DIG DBL_MANT_DIG DBL_MAX_EXP DBL_MIN_EXP FLT_EPSILON FLT_MAX FLT_MIN FLT_DIG FLT_RADIX
    FLT_MANT_DIG FLT_MAX_EXP FLT_MIN_EXP DECIMAL_DIG
    M_E M_LOG2E M_LOG10E M_LN2 M_LN10 M_PI M_PI_2 M_PI_4 M_1_PI M_2_PI M_2_SQRTPI M_SQRT2 M_SQRT1_2
    """
)
"""Keywords, and types, macros and other functions of math.h, complex.h, std*.h, string.h, float.h, limits.h."""

JAVASCRIPT = _words(
    """
    await break case catch class const continue debugger default delete do else enum export extends false finally for
    function if import in instanceof new null return super switch this throw true try typeof var void while with yield
    let static implements interface package private protected public arguments eval async of get set
    abstract boolean byte char double final float goto int long native short synchronized throws transient volatile
    globalThis Infinity NaN undefined isFinite isNaN parseFloat parseInt decodeURI decodeURIComponent encodeURI
    encodeURIComponent escape unescape
    AggregateError Array ArrayBuffer Atomics BigInt BigInt64Array BigUint64Array Boolean DataView Date Error EvalError
    FinalizationRegistry Float16Array Float32Array Float64Array Function Int8Array Int16Array Int32Array Iterator JSON Map
    Math Number Object Promise Proxy RangeError ReferenceError Reflect RegExp Set SharedArrayBuffer String Symbol
    SyntaxError TypeError URIError Uint8Array Uint8ClampedArray Uint16Array Uint32Array WeakMap WeakRef WeakSet Intl
    WebAssembly constructor prototype hasOwnProperty toString valueOf
    window document console module exports require process Buffer global self
    """
)
"""Keywords (old and strict ones too), what every realm defines, properties that every object has."""

_WORDS = PYTHON | MATH | {name + kind for name in MATH for kind in "fl"} | C | JAVASCRIPT


def is_reserved(name: str) -> bool:
    """Whether a name means something already in one of the languages."""
    return name in _WORDS
