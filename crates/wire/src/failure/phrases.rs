//! What texts say, where type, code and status leave it open.
//!
//! The first rule wins whose group fits and one of whose patterns occurs; how patterns read is
//! said at [`Words::have`](super::words::Words::have). Rules are in the order in which they
//! must not take each other's texts, so a new one goes where its neighbours are.

use model::FailureClass::{self as Of, *};

use super::Action;
use super::group::{
    EXHAUSTED, Group, IDENTITY, LIMIT, MISSING, NETWORK, NONE, REQUEST, SERVER, SIZE,
};
use super::words::Words;

/// One row: what it is, what to do if that is not what its kind says, where it applies.
pub(super) struct Rule {
    pub(super) class: Of,
    pub(super) action: Option<Action>,
    groups: Group,
    patterns: &'static [&'static str],
}

const fn rule(class: Of, groups: Group, patterns: &'static [&'static str]) -> Rule {
    Rule {
        class,
        action: None,
        groups,
        patterns,
    }
}

const fn but(action: Action, rule: Rule) -> Rule {
    Rule {
        action: Some(action),
        ..rule
    }
}

/// Returns the first rule of these groups that the text meets.
pub(super) fn first(groups: Group, words: &Words) -> Option<&'static Rule> {
    RULES.iter().find(|rule| {
        rule.groups & groups != 0 && rule.patterns.iter().any(|pattern| words.have(pattern))
    })
}

#[rustfmt::skip]
const RULES: &[Rule] = &[
    rule(ContentFilter, REQUEST | IDENTITY | MISSING | SERVER | NONE, &[
        "content management policy", "violat~ * usage|content policy|policies|guidelines",
        "safety system|reasons|settings|filter|filters", "requires moderation", "input was flagged",
        "content filter~ policy|policies", "blocked by * content|safety|guardrail|guardrails|filter",
        "response|prompt|output|content was blocked|filtered", "considered high risk",
        "content exists risk", "inappropriate|unsafe|sensitive|harmful|prohibited content",
        "responsible ai", "content policy|moderation", "敏感", "不安全",
    ]),
    rule(TooLarge, LIMIT | SIZE | REQUEST | NONE, &[
        "request|entity|payload|body|message too large", "request|payload|body size exceeds",
        "request exceeds the maximum size", "exceed~ * maximum|limit * bytes", "exceed~ # mb",
        "image|file|document|attachment|pdf * too+large|too+big|exceeds+#|exceeds+the+maximum",
        "too many images|files|documents|attachments", "maximum of # pdf pages",
        "dimensions exceed", "content length * exceeds",
        "invalid input|messages|instructions * string too long",
    ]),
    rule(RateLimit, LIMIT | EXHAUSTED | SERVER | REQUEST | NONE, &[
        "rate limit|limits|limiting * exceeded|reached|exceed|hit", "rate limited|limiter",
        "exceed~|over|reached|hit * rate limit|limits", "too many requests", "requests too quickly",
        "too many tokens * wait", "tokens * per minute|min|day|hour|second * limit",
        "tokens|requests per minute limit", "throttled|throttling", "quota exceeded for",
        "quota metric", "request limit * exceeded|reached", "concurrency|concurrent * limit|exceeded|reduce",
        "parallel request", "service tier capacity exceeded", "no deployments available",
        "organization max", "calls minute", "速率限制", "限流", "频率", "并发",
    ]),
    rule(RateLimit, LIMIT | EXHAUSTED | NONE, &[
        "rate limit|limits", "resource * exhausted", "on tokens|requests per min|minute|day|hour",
        "tpm|rpm|tpd|rpd|itpm|otpm",
    ]),
    rule(Quota, LIMIT | REQUEST | IDENTITY | MISSING | SERVER | NONE, &[
        "exceeded your current quota", "check your plan|billing", "no quota remaining|left",
    ]),
    rule(Quota, LIMIT | EXHAUSTED | REQUEST | IDENTITY | MISSING | SERVER | NONE, &[
        "insufficient|not+enough|no|more|purchase|buy credit|credits|balance|funds|quota",
        "credit|credits|balance * too low", "doesnt|dont have any|enough credits",
        "out of credit|credits|extra", "credits * depleted|exhausted",
        "credit|billing|spend|spending|hard|usage|monthly limit * exceeded|reached",
        "exceeded|reached|reaching your|the * credit|credits|spend|spending|usage|monthly|billing limit|limits|included|cap",
        "monthly * credits", "budget * exceeded", "exceeded * budget", "usage limit|limits",
        "payment method|required", "billing * not active|enabled", "account|organization * suspended",
        "account * good+standing|overdue|arrears", "free tier * exhausted", "recharge", "top up",
        "余额不足", "欠费", "充值",
    ]),
    rule(Overload, LIMIT | SERVER | REQUEST | NONE, &[
        "overloaded", "over|at|out+of|no capacity", "capacity exceeded|constraints|limits",
        "high demand|traffic|load", "server|service|engine|system|model * busy",
        "temporarily|currently unavailable|unable|loading", "service unavailable", "loading model",
        "model is loading", "pending requests", "no instances available", "reset reason overflow",
        "繁忙", "过载", "访问量过大",
    ]),
    rule(OutOfMemory, SERVER | REQUEST | NONE, &[
        "out of memory", "more system memory", "requires more * memory|vram",
        "not+enough|insufficient|sufficient * memory|vram", "unable|failed to allocate",
    ]),
    rule(BadToolCall, REQUEST | SERVER | NONE, &[
        "failed to call a function", "tool call validation failed", "not in request tools",
        "did not call a tool", "failed generation", "failed to generate json",
        "malformed function|tool call", "error parsing tool call|calls",
        "failed to parse|validate * tool call|calls|arguments",
    ]),
    but(Action::FixRequest, rule(MalformedToolHistory, REQUEST | NONE, &[
        "tool config * must be defined", "tools param|parameter|field * required|specified|defined",
    ])),
    rule(MalformedToolHistory, REQUEST | MISSING | NONE, &[
        // Calls and results that do not meet.
        "tool calls must be followed", "did not have response", "insufficient tool messages",
        "tool use * without|corresponding|unique|must+have|found", "unexpected tool use|call|result",
        "tool result|results * corresponding|blocks|preceding|previous|missing|without|not+found",
        "tool result|use block|blocks", "no tool call|output|result|response * found|for",
        "role tool * must|after|without|preceeding|preceding|satisfied",
        "tool message|messages|role * must|preceding|preceeding|following|follow|without",
        "tool call|calls|use id * not+found|missing|required|invalid|match|pattern|unique|duplicate|length|must",
        "tool call|calls * without|missing|unresolved|unanswered|unmatched|pending * response|result|results|output",
        "orphan|orphaned|dangling|unmatched tool", "tool id * not found",
        "number of function|tool call|calls|response|responses|result|results|use",
        "function response * turn|parts|equal|name", "function call turn",
        "function call|calls * must+be+followed|paired|matched",
        "function call output * no|without|missing|matching",
        // Order of roles.
        "unexpected role", "roles must|should alternate", "must|should|requests alternate",
        "conversation|conversations must|should start|begin|end", "first|last message must|should|role|cannot",
        "first|last * role|message must|should|expected", "expected last role",
        "must|should start|begin|end with a user|system|assistant", "end with a user role",
        "consecutive|successive * messages|roles|turns", "after role",
        "prefill|prefilling|prefilled",
        // Reasoning that was not given back.
        "thought signature", "signature * thinking", "thinking signature|block|blocks", "expected thinking",
        "redacted thinking", "reasoning content * must|missing|passed|required|back",
        "missing reasoning content", "without its required", "required * reasoning item",
        "encrypted content * verified|decrypted|invalid", "invalid encrypted content",
        // Items and contents.
        "duplicate|duplicated item|items|tool|ids", "items are not persisted", "item with id * not found",
        "non empty content", "content|contents * non+empty|non+whitespace|is+empty|is+blank",
        "content|contents * cannot|must+not|should+not|may+not be empty",
        "assistant message * must+have|contain either", "content or tool calls",
    ]),
    // Before authentication: the key is known, and lacks something.
    rule(Denied, IDENTITY | REQUEST | MISSING | NONE, &[
        "not|doesnt|dont * have * permission|permissions", "insufficient permission|permissions|scope|scopes",
        "missing scope|scopes", "scope requirement", "not allowed to access|use", "lacks the required",
        "must be verified", "location|country|region|territory * not+supported|not+available",
        "organization|account|project|workspace * disabled|restricted|deactivated",
        "blocked at", "been blocked", "api has not been used", "use case details",
    ]),
    rule(Authentication, IDENTITY | REQUEST | SERVER | NONE, &[
        "api key|keys * invalid|incorrect|expired|missing|wrong|revoked|leaked|inactive|disabled|required",
        "api key|keys not|isnt valid|found|provided|set", "didnt provide an api key", "api key option must",
        "incorrect|invalid|missing|expired|wrong|no|bad|unknown api|x+api|subscription key|keys|token",
        "incorrect|invalid|missing * api key",
        "incorrect|invalid|missing|no|expired authentication|auth|authorization|credentials|bearer|access|proxy",
        "authentication|auth error|failed|fails|failure|required|credentials|is+needed",
        "unauthorized|unauthenticated|reauthentication", "credentials were|are not found",
        "could+not|unable+to|cannot|failed+to locate|load|resolve|find|validate|refresh * credentials|authentication|auth",
        "security token", "token|session|credential|credentials * expired|revoked", "username or password",
        "signature * not|doesnt match", "unregistered callers", "not authenticated", "not logged in",
        "login|log+in required|again|expired",
    ]),
    rule(NotFound, REQUEST | MISSING | NONE, &[
        "model|models|deployment|engine * does+not+exist|doesnt+exist|not+found|not+exist",
        "not found the model", "no endpoints|models found|loaded", "no such model", "unable to access * model",
        "unknown|invalid|unrecognized|nonexistent model", "not a valid model", "model identifier is invalid",
        "model * decommissioned|deprecated|retired|discontinued|sunset", "end of its life",
        "model is not supported|available|deployed|accessible|loaded", "model not supported|available|deployed|loaded",
        "requested model * not supported|available", "model unloaded", "unknown|invalid request+url|url", "no route",
    ]),
    rule(Denied, IDENTITY | REQUEST | MISSING | NONE, &[
        "permission|permissions * denied|required", "have access to", "not authorized|entitled",
        "access denied|forbidden|restricted", "forbidden", "operation|request not allowed",
    ]),
    // How much was asked for in return is not how much was said.
    rule(Invalid, REQUEST | NONE, &["maximum tokens you requested", "max output tokens value"]),
    rule(ContextOverflow, REQUEST | SIZE | NONE, &[
        "prompt|input|inputs|request|conversation|history|messages|context|query|text is|are|was too long",
        "prompt|input|inputs|conversation|context too long|large", "is|are too long for",
        "too large for model", "too large to process", "too much|many text|input",
        "max|maximum context|model|prompt|input|sequence length|window|size|limit|len|tokens",
        "exceed~|over|beyond|overflows * context|ctx length|window|size|limit",
        "context|ctx length|window|size|limit * exceed~|overflow~|full|small|reached",
        "context overflow|overflows|overflowed", "context the overflows", "out of * context",
        "longer|greater|larger|more than the|this|models|its|maximum * context|length",
        "available context size", "reduce the|your length|prompt|input", "reduce * input token",
        "token|tokens count * exceed~ * limit|maximum|max|of",
        "exceed~|over * maximum|max number of tokens|input", "exceed~ * token|tokens limit|maximum|max",
        "exceed~ model maximum", "exceed~ max|maximum length|tokens|context",
        "exceed~ * max|maximum|allowed * input|prompt|length|tokens",
        "input|prompt token|tokens|length|limit * exceed~|greater|larger|longer|but",
        "token limit exceeded", "tokens exceed|exceeds", "range of input length",
        "input length should|must", "too many|much input|prompt|total|context tokens", "too many tokens",
        "inputs tokens max new tokens must", "must have less|fewer than # tokens", "expected max length",
        "current length is # while limit", "max|completion tokens * must be at least * -#", "tokens to keep",
        "prompt contains * tokens", "shorten|trim|shorter|truncate * prompt|input|messages|conversation|context",
        "超长", "过长", "上下文长度",
    ]),
    // Of a server error, only what names its numbers is believed to be an overflow.
    rule(ContextOverflow, SERVER, &[
        "maximum context length is #", "exceeds the available context size", "prompt is too long # tokens",
        "input is too large to process",
    ]),
    rule(Timeout, SERVER | NETWORK | NONE, &["timed out", "time out", "timeout", "deadline * exceeded", "took too long"]),
    but(Action::FixConfig, rule(Unavailable, SERVER | NETWORK | NONE, &[
        "certificate verify|has|is|chain|authority", "self signed",
    ])),
    but(Action::FixConfig, rule(Unavailable, NETWORK | NONE, &["certificate", "ssl|tls * failed|error|failure|alert"])),
    // Of an answer, only what speaks of a connection behind it.
    rule(Unavailable, SERVER, &[
        "connection error|refused|reset|aborted|failure", "connect error", "reset before headers",
        "no healthy upstream", "failed to connect", "could+not|cannot connect", "fetch failed", "socket hang up",
    ]),
    rule(Unavailable, NETWORK | NONE, &[
        "connection|connections|stream|socket|transport closed|reset|refused|aborted|error|dropped|terminated|failure|failed|lost|broken|attempts",
        "connection|stream|socket|transport * closed|reset|refused|interrupted|aborted|disconnected|failed|lost",
        "type error terminated", "socket hang up", "other side closed", "fetch failed", "failed to fetch",
        "peer closed", "server|client|remote|stream disconnected", "premature close", "unexpected eof",
        "unexpected end of file|stream|input", "incomplete chunked|read", "broken pipe",
        "name or service not known", "name resolution", "nodename nor servname", "getaddrinfo",
        "no+such|unknown host", "dns|hostname * fail|failed|failure|error|resolve|lookup",
        "error sending request", "error decoding response", "error reading * body|response",
        "network error|unreachable|failure|changed|connection|is|lost|socket", "host * unreachable|down",
        "failed+to|unable+to|could+not|cannot connect|establish|reach", "connect|connection * failed|error",
        "no healthy upstream", "reset before headers", "remote end closed", "payload is not completed",
        "not enough data to satisfy", "transfer encoding", "http2|h2 error|protocol", "goaway|rst", "load failed",
        "econnreset|econnrefused|enotfound|epipe|ehostunreach",
    ]),
    but(Action::ChangeModel, rule(Invalid, REQUEST | NONE, &[
        "not|doesnt support tools|tool|function|images|image|vision|thinking|streaming",
    ])),
    rule(NotFound, NONE, &["does not exist", "not found"]),
    rule(Server, SERVER | NONE, &[
        "internal|unexpected|server error", "internal server", "server had an error", "bad gateway",
    ]),
    rule(Invalid, NONE, &[
        "invalid|malformed|bad request|argument|arguments|parameter|parameters|value|schema|json|type|body",
        "unsupported parameter|value", "missing required", "validation error", "is not supported",
    ]),
];
