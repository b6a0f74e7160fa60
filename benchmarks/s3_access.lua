-- What a bucket does before it stores a body: refuse to replace (If-None-Match), refuse a wrong CRC-32.
-- The CRC is computed for tiny bodies only (the guard probe's): nginx could not do it cheaply for each image.
local objects = ngx.shared.objects
local headers = ngx.req.get_headers(100)

local function refuse(status, code)
    ngx.status = status
    ngx.header.content_type = "application/xml"
    ngx.print('<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>' .. code .. "</Code></Error>")
    return ngx.exit(status)
end

local function crc32_base64(body)
    local crc = ngx.crc32_long(body)
    local octets = {}
    for shift = 24, 0, -8 do
        octets[#octets + 1] = string.char(bit.band(bit.rshift(crc, shift), 255))
    end
    return ngx.encode_base64(table.concat(octets))
end

local wait = tonumber(ngx.var.service_ms)
local method = ngx.req.get_method()
if method == "PUT" then
    if headers["if-none-match"] == "*" and objects:get(ngx.var.uri) then
        return refuse(412, "PreconditionFailed")
    end
    local crc = headers["x-amz-checksum-crc32"]
    local tiny = crc and tonumber(headers["content-length"] or 0) < 4096
    if tiny or wait > 0 then
        ngx.req.read_body()
    end
    if tiny then
        local file = io.open(ngx.req.get_body_file(), "rb")
        local body = file:read("*a")
        file:close()
        if crc32_base64(body) ~= crc then
            return refuse(400, "BadDigest")
        end
        ngx.ctx.md5 = ngx.md5(body)
    end
end
if wait > 0 then
    ngx.sleep(wait / 1000)
end
