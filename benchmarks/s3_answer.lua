-- What a bucket answers: 200 and the ETag, which is the MD5: the request's own, or that of the table of photographs.
local objects = ngx.shared.objects
local method, status = ngx.req.get_method(), ngx.status

if method == "PUT" and (status == 201 or status == 204) then
    local md5 = ngx.req.get_headers(100)["content-md5"]
    local etag
    if md5 then
        etag = ngx.decode_base64(md5):gsub(".", function(octet) return string.format("%02x", octet:byte()) end)
    else
        etag = ngx.ctx.md5 or ngx.shared.md5s:get(ngx.var.uri) or ngx.md5(ngx.var.request_id) .. "-1"
    end
    objects:set(ngx.var.uri, etag)
    ngx.status = 200
    ngx.header.location = nil
    ngx.header.content_length = 0
    ngx.header.etag = '"' .. etag .. '"'
elseif method == "DELETE" and status == 204 then
    objects:delete(ngx.var.uri)
elseif status == 200 and objects:get(ngx.var.uri) then
    ngx.header.etag = '"' .. objects:get(ngx.var.uri) .. '"'
end
