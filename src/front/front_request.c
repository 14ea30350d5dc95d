#include "src/front/front_request.h"

#include <stdlib.h>

struct front_request *front_request_new(const char *method, const char *target)
{
	struct front_request *rq = ln_alloc(sizeof(*rq));
	rq->method = ln_strdup(method);
	rq->path = ln_strdup(target);
	char *q = strchr(rq->path, '?');
	rq->query = ln_strdup(q != NULL ? q + 1 : "");
	if (q != NULL)
		*q = '\0';
	return rq;
}

void front_request_free(struct front_request *rq)
{
	if (rq == NULL)
		return;
	free(rq->method);
	free(rq->path);
	free(rq->query);
	net_headers_fini(&rq->headers);
	str_fini(&rq->body);
	free(rq);
}

void front_reply(struct front_request *rq, int status, const char *content_type,
		 struct slice content)
{
	if (rq->transport != NULL)
		rq->answer(rq->transport, status, content_type, content);
	front_request_free(rq);
}

int front_take(struct front_request *rq, struct front_taken *ret)
{
	if (rq->transport == NULL)
		return LN_E_CLOSED;
	if (rq->take == NULL)
		return LN_E_UNSUPPORTED;
	rq->take(rq->transport, ret);
	front_request_free(rq);
	return 0;
}

const char *front_request_method(const struct front_request *rq)
{
	return rq->method;
}

const char *front_request_path(const struct front_request *rq)
{
	return rq->path;
}

const char *front_request_query(const struct front_request *rq)
{
	return rq->query;
}

const char *front_request_header(const struct front_request *rq, const char *name)
{
	return net_headers_get(&rq->headers, name);
}

struct slice front_request_body(const struct front_request *rq)
{
	return str_slice(&rq->body);
}

const struct ip_ep *front_request_peer(const struct front_request *rq)
{
	return &rq->peer;
}

const char *front_reason(int status)
{
	static const struct {
		int status;
		const char *text;
	} v[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 204, "No Content" },
		{ 301, "Moved Permanently" },
		{ 302, "Found" },
		{ 304, "Not Modified" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 409, "Conflict" },
		{ 426, "Upgrade Required" },
		{ 413, "Content Too Large" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 500, "Internal Server Error" },
		{ 503, "Service Unavailable" },
	};

	for (size_t i = 0; i < LN_COUNT(v); i++)
		if (v[i].status == status)
			return v[i].text;
	return "Status";
}
