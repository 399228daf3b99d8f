"""Every problem the doors themselves can answer with: code, status, and its words in both languages.

What the business refuses is not listed here: each Refusal brings its own code and words, and its family
decides the status (see `problems`). Clients branch on `code`; words may change.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem. `retryable`: the very same request may succeed later."""

    code: str
    status: int
    pt: str
    en: str
    retryable: bool = False


_ALL = (
    Kind("malformed-json", 400, "O corpo não é JSON válido", "The body is not valid JSON"),
    Kind("duplicate-key", 400, "O JSON repete uma chave", "The JSON repeats a key"),
    Kind("malformed-body", 400, "O corpo não tem a forma esperada", "The body has not the expected form"),
    Kind("malformed-header", 400, "Um cabeçalho não é válido", "A header is not valid"),
    Kind(
        "idempotency-key-required",
        400,
        "O cabeçalho Idempotency-Key é obrigatório: de 1 a 255 caracteres ASCII visíveis, uma só vez",
        "The header Idempotency-Key is required: 1 to 255 visible ASCII characters, once",
    ),
    Kind("token-invalid", 400, "O token de consistência não é válido", "The consistency token is not valid"),
    Kind("filter-unknown", 400, "Parâmetro de consulta desconhecido", "Unknown query parameter"),
    Kind("filter-repeated", 400, "Parâmetro de consulta repetido", "Repeated query parameter"),
    Kind("filter-invalid", 400, "Parâmetro de consulta inválido", "Invalid query parameter"),
    Kind("limit-invalid", 400, "O limite não é um número positivo", "The limit is not a positive number"),
    Kind("cursor-invalid", 400, "O cursor não é desta lista", "The cursor is not of this list"),
    Kind(
        "as-of-not-supported",
        400,
        "Esta consulta não olha para o passado",
        "This query cannot look into the past",
    ),
    Kind("unauthenticated", 401, "Entre para continuar", "Sign in to continue"),
    Kind("permission-denied", 403, "Você não tem esta permissão", "You do not have this permission"),
    Kind("company-mismatch", 403, "Você não participa desta empresa", "You are not a member of this company"),
    Kind("not-found", 404, "Não encontrado", "Not found"),
    Kind("method-not-allowed", 405, "Método não permitido", "Method not allowed"),
    Kind(
        "immutable-record",
        405,
        "Fatos não são apagados: estorne ou cancele",
        "Facts are never deleted: reverse or cancel",
    ),
    Kind("not-acceptable", 406, "Formato de resposta indisponível", "Format of the answer not available"),
    Kind(
        "state-conflict",
        409,
        "Este registro mudou enquanto era decidido",
        "This record moved while it was being decided",
        retryable=True,
    ),
    Kind(
        "already-decided",
        409,
        "Já se decidiu sobre esta mensagem",
        "Somebody has decided about this message already",
    ),
    Kind(
        "version-differs",
        409,
        "Este registro mudou enquanto você o editava",
        "This record changed while you were editing it",
    ),
    Kind(
        "job-running",
        409,
        "Já há um trabalho em andamento sobre isto",
        "Work on this is going on already",
        retryable=True,
    ),
    Kind(
        "not-stopped-there",
        409,
        "A projeção não está parada neste evento",
        "The projection is not stopped at this event",
    ),
    Kind(
        "partition-required",
        409,
        "A projeção está parada nesta posição de várias partições: diga em qual",
        "The projection is stopped at this position of several partitions: say which",
    ),
    Kind(
        "break-glass-required",
        409,
        "Esta projeção sustenta os livros: só com break_glass um evento fica de fora",
        "This projection keeps the books: only with break_glass is an event left out",
    ),
    Kind(
        "store-epoch-changed",
        409,
        "O histórico foi restaurado; recarregue",
        "The history was restored; reload",
    ),
    Kind(
        "version-conflict",
        412,
        "Este registro mudou enquanto você o editava",
        "This record changed while you were editing it",
    ),
    Kind("payload-too-large", 413, "O corpo é grande demais", "The body is too large"),
    Kind(
        "unsupported-media-type",
        415,
        "O corpo deve ser application/json, sem compressão",
        "The body must be application/json, uncompressed",
    ),
    Kind("validation-failed", 422, "Há campos inválidos", "Some fields are not valid"),
    Kind("unknown-field", 422, "Há campos desconhecidos", "Some fields are unknown"),
    Kind("amount-out-of-range", 422, "Valor acima do limite", "Amount out of range"),
    Kind(
        "idempotency-key-reused",
        422,
        "Esta Idempotency-Key já foi usada com outro conteúdo",
        "This Idempotency-Key was already used with another content",
    ),
    Kind(
        "not-attempted",
        422,
        "Não foi tentado: outro comando do lote foi recusado",
        "Not attempted: another command of the batch was refused",
    ),
    Kind("rate-limited", 429, "Muitas tentativas; aguarde", "Too many attempts; wait", retryable=True),
    Kind("internal-error", 500, "Erro interno", "Internal error", retryable=True),
    Kind(
        "projection-behind",
        503,
        "A consulta ainda não alcançou o que você gravou",
        "The query has not yet reached what you recorded",
        retryable=True,
    ),
    Kind(
        "dependency-down",
        503,
        "Um serviço necessário não responde",
        "A service this needs does not answer",
        retryable=True,
    ),
    Kind(
        "command-timeout",
        504,
        "Resultado desconhecido: repita com a mesma Idempotency-Key",
        "Outcome unknown: retry with the same Idempotency-Key",
        retryable=True,
    ),
)

KINDS = {kind.code: kind for kind in _ALL}
"""The registry, by code."""
