//! What types, codes and status numbers say.
//!
//! Every provider has its own spelling, so names are compared by letters and digits only, without
//! the ending `Error` or `Exception`: `rate_limit_error` and `RateLimitError` are one name.

use model::FailureClass::{self as Of, *};

use super::group::{self, Group};

/// How far a name or a number decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// Alone: no text changes it.
    Sure(Of),
    /// Unless the text says something else that failures of this group can be.
    Likely(Group, Of),
    /// As [`Likely`](Self::Likely), and anything more exact goes before it.
    Vague(Group, Of),
}

use Says::{Likely, Sure, Vague};

/// What each name says. Names that one provider uses for two things are only likely or vague.
#[rustfmt::skip]
const NAMES: &[(Says, &str)] = &[
    (Sure(ContextOverflow), "contextlengthexceeded contextwindowexceeded contextlimitexceeded \
        contextsizeexceeded contextoverflow exceedcontextsize modelcontextwindowexceeded \
        modelmaxprompttokensexceeded maxcontextlengthexceeded maxprompttokensexceeded \
        prompttoolong inputtoolong inputtokenlimitexceeded"),
    (Sure(TooLarge), "requesttoolarge payloadtoolarge requestentitytoolarge contenttoolarge \
        imagetoolarge filetoolarge"),
    (Sure(RateLimit), "throttling throttled throttlingratequota throttlingburstrate \
        throttlinguser throttlingallocationquota limitrequests limitburstrate tokenquotaexceeded \
        tokenquotareached requestquotaexceeded servicetiercapacityexceeded \
        provisionedthroughputexceeded servicequotaexceeded ratelimitreached"),
    (Likely(group::LIMIT, RateLimit), "ratelimit ratelimitexceeded ratelimited toomanyrequests \
        toomanytokens requestlimitexceeded requests tokens"),
    (Likely(group::EXHAUSTED, RateLimit), "resourceexhausted"),
    (Sure(Quota), "insufficientquota billingnotactive billinghardlimitreached billing \
        budgetexceeded exceededbudget insufficientcredit insufficientcredits insufficientbalance \
        insufficientfunds creditlimit creditsexhausted outofcredits paymentrequired arrearage \
        exceededcurrentquota prepaidbilloverdue postpaidbilloverdue commoditynotpurchased \
        usagelimitreached usagenotincluded allocationquotafreetieronly spendlimitexceeded \
        monthlylimitexceeded"),
    (Likely(group::LIMIT, Quota), "quotaexceeded"),
    (Sure(Overload), "overloaded overload engineoverloaded modeloverloaded serveroverloaded \
        slowdown queueexceeded modelnotready modelloading nocapacity capacityexceeded serverbusy"),
    (Likely(group::SERVER, Overload), "unavailable serviceunavailable temporarilyunavailable"),
    (Sure(Authentication), "invalidapikey apikeyinvalid incorrectapikey missingapikey noapikey \
        expiredapikey apikeyexpired unauthenticated unrecognizedclient nocredentials \
        partialcredentials credentialretrieval expiredtoken tokenexpired invalidsignature \
        signaturedoesnotmatch incompletesignature missingauthenticationtoken \
        invalidclienttokenid invalidtoken mismatchedorganization invalidauthentication \
        tokennotfoundindb invalidgrant"),
    (Likely(group::IDENTITY, Authentication), "authentication auth unauthorized"),
    (Sure(Denied), "unsupportedcountryregionterritory servicedisabled keymodelaccessdenied \
        teammodelaccessdenied organizationrestricted accountdeactivated iampermissiondenied"),
    (Likely(group::IDENTITY, Denied), "permission permissiondenied forbidden accessdenied \
        notauthorized"),
    (Sure(NotFound), "modelnotfound deploymentnotfound modeldecommissioned modelnotsupported \
        modelnotavailable invalidmodel unknownmodel nosuchmodel previousresponsenotfound"),
    (Likely(group::MISSING, NotFound), "notfound resourcenotfound"),
    (Sure(MalformedToolHistory), "invalidrequestmessageorder invalidrequestassistantmessage \
        invalidencryptedcontent"),
    (Sure(ContentFilter), "contentfilter contentfiltered contentpolicy contentpolicyviolation \
        responsibleaipolicyviolation datainspectionfailed moderation moderationblocked safety \
        prohibitedcontent guardrailintervened cyberpolicyviolation"),
    (Likely(group::REQUEST, ContentFilter), "invalidprompt"),
    (Sure(BadToolCall), "toolusefailed jsonvalidatefailed toolcallvalidationfailed \
        malformedfunctioncall unexpectedtoolcall outputparsefailed"),
    (Sure(OutOfMemory), "outofmemory cudaoutofmemory"),
    (Sure(Timeout), "timeout modeltimeout apitimeout deadlineexceeded etimedout esockettimedout \
        connecttimeout connectiontimeout readtimeout writetimeout pooltimeout requesttimeout \
        gatewaytimeout apiconnectiontimeout sockettimeout underrheaderstimeout \
        underrbodytimeout underrconnecttimeout"),
    (Sure(Unavailable), "econnreset econnrefused econnaborted enotfound eaiagain epipe eproto \
        ehostunreach enetunreach enetdown underrsocket underrclosed underrdestroyed \
        errstreamprematureclose remoteprotocol localprotocol read write connect connectionreset \
        connectionrefused connectionaborted connectionclosed brokenpipe endpointconnection \
        serverdisconnected clientconnector clientpayload chunkedencoding incompleteread \
        clientos newconnection errhttp2stream errhttp2session"),
    (Sure(Unavailable), "ssl sslcertverification certhasexpired selfsignedcertinchain \
        depthzeroselfsignedcert unabletoverifyleafsignature unabletogetissuercertlocally \
        errtlscertaltnameinvalid"),
    (Likely(group::NETWORK, Unavailable), "apiconnection connection network maxretry proxy"),
    (Vague(group::REQUEST, Invalid), "invalidrequest badrequest validation invalidargument \
        invalidparameter invalidparam invalidparams invalidvalue invalidtype invalidjson \
        invalidinput invalidrequestbody invalidfunctionparameters unsupportedparameter \
        unsupportedvalue unknownparameter missingrequiredparameter stringabovemaxlength \
        decimalabovemaxvalue integerabovemaxvalue integerbelowminvalue operationnotsupported \
        unprocessableentity failedprecondition unimplemented outofrange requestvalidation"),
    (Vague(group::SERVER, Server), "server internalserver internal internalfailure api apistatus \
        badgateway aborted dataloss modelerror modelstreamerror dependencyfailed"),
];

/// What each status says. 400 and 500 are what is sent for want of anything better.
#[rustfmt::skip]
const STATUSES: &[(Says, &[u16])] = &[
    (Vague(group::REQUEST, Invalid), &[400, 405, 406, 411, 412, 415, 416, 417, 422, 501]),
    (Likely(group::IDENTITY, Authentication), &[401, 407]),
    (Likely(group::LIMIT, Quota), &[402]),
    (Likely(group::IDENTITY, Denied), &[403, 451]),
    (Likely(group::MISSING, NotFound), &[404, 410]),
    (Likely(group::SIZE, ContextOverflow), &[413]),
    (Sure(TooLarge), &[414, 431]),
    (Sure(Timeout), &[408, 504, 522, 524, 598, 599]),
    (Likely(group::LIMIT, RateLimit), &[429]),
    (Likely(group::NONE, Error), &[499]),
    (Likely(group::SERVER, Overload), &[498, 503, 529]),
    (Likely(group::SERVER, Server), &[409, 424, 425, 502, 520, 521, 523, 525, 526, 527, 530]),
    (Vague(group::SERVER, Server), &[500]),
];

/// Other names of providers whose codes are bare numbers.
const ALIASES: &[(&str, &str)] = &[
    ("zhipu", "zai"),
    ("zhipuai", "zai"),
    ("bigmodel", "zai"),
    ("glm", "zai"),
];

/// Codes that are bare numbers, and mean something only at one provider.
#[rustfmt::skip]
const NUMBERED: &[(&str, Of, &[u32])] = &[
    ("zai", Authentication, &[1000, 1001, 1002, 1003, 1004]),
    ("zai", Denied, &[1110, 1112, 1220, 1313]),
    ("zai", Quota, &[1113, 1304, 1308, 1309, 1310]),
    ("zai", NotFound, &[1211, 1222]),
    ("zai", ContextOverflow, &[1261]),
    ("zai", ContentFilter, &[1301]),
    ("zai", RateLimit, &[1302, 1303]),
    ("zai", Overload, &[1305, 1312]),
    ("minimax", Server, &[1000, 1013, 1024, 1033]),
    ("minimax", Timeout, &[1001]),
    ("minimax", RateLimit, &[1002, 1039, 1041]),
    ("minimax", Authentication, &[1004, 2049]),
    ("minimax", Quota, &[1008, 2056]),
    ("minimax", ContentFilter, &[1026, 1027]),
];

/// Returns what a type or code says.
pub(super) fn of_name(name: &str) -> Option<Says> {
    let name = plain(name);
    NAMES
        .iter()
        .find(|(_, names)| names.split_ascii_whitespace().any(|known| known == name))
        .map(|&(says, _)| says)
}

/// Returns what a status says.
pub(super) fn of_status(status: u16) -> Option<Says> {
    let known = STATUSES
        .iter()
        .find(|(_, numbers)| numbers.contains(&status));
    known.map(|&(says, _)| says).or(match status {
        400..=499 => Some(Vague(group::REQUEST, Invalid)),
        500..=599 => Some(Vague(group::SERVER, Server)),
        _ => None,
    })
}

/// Returns what a bare number says at this provider.
pub(super) fn of_number(provider: &str, code: &str) -> Option<Says> {
    let code = code.parse::<u32>().ok()?;
    let provider = provider.to_ascii_lowercase();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == provider);
    let provider = alias.map_or(provider.as_str(), |(_, name)| name);
    NUMBERED
        .iter()
        .find(|(name, _, codes)| *name == provider && codes.contains(&code))
        .map(|&(_, class, _)| Sure(class))
}

/// Lower-case letters and digits of a name, less one ending that says only that it is an error.
fn plain(name: &str) -> String {
    // AWS says `com.amazonaws#ThrottlingException` where it says the whole name.
    let name = name.rsplit(['#', '/']).next().unwrap_or(name);
    let mut name: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    for ending in ["exception", "error"] {
        if let Some(stem) = name.strip_suffix(ending).filter(|stem| !stem.is_empty()) {
            name.truncate(stem.len());
            break;
        }
    }
    name
}
