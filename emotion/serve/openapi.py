"""The server's interface as OpenAPI 3.1, which /openapi.json gives."""

from __future__ import annotations

NUMBER, WHOLE, TEXT = {"type": "number"}, {"type": "integer"}, {"type": "string"}


def openapi(version: str) -> dict:
    """The document, a plain dict."""
    faces = {
        "type": "object",
        "required": ["size_wh", "names", "faces"],
        "properties": {
            "size_wh": {"type": "array", "items": WHOLE, "description": "of the picture, turned upright"},
            "names": {"type": "array", "items": TEXT, "description": "of the classes, in the order of scores"},
            "faces": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/Face"},
                "description": "the surest first",
            },
            "ms": NUMBER | {"description": "that it took"},
            "time_s": NUMBER | {"description": "of the frame, in /events"},
            "source": TEXT,
        },
    }
    face = {
        "type": "object",
        "required": ["xyxy_px", "face", "class_id", "emotion", "scores", "uncertain"],
        "properties": {
            "xyxy_px": {"type": "array", "items": NUMBER, "minItems": 4, "maxItems": 4},
            "face": NUMBER | {"description": "how surely it is a face"},
            "class_id": WHOLE,
            "emotion": TEXT,
            "scores": {"type": "array", "items": NUMBER},
            "uncertain": {"type": "boolean"},
            "track": WHOLE | {"description": "the face's number, with a session"},
            "frame_scores": {"type": "array", "items": NUMBER, "description": "before smoothing, with a session"},
        },
    }
    error = {"type": "object", "required": ["error"], "properties": {"error": TEXT}}
    found = {
        "description": "what is found",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Faces"}}},
    }

    def refusals(**reasons: str) -> dict:
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        return {code.lstrip("_"): {"description": why, "content": content} for code, why in reasons.items()}

    def query(name: str, schema: dict, text: str) -> dict:
        return {"name": name, "in": "query", "required": False, "schema": schema, "description": text}

    picture = {"type": "string", "format": "binary"}
    source = [query("source", WHOLE | {"default": 0, "minimum": 0}, "which of the server's sources, see /choices")]
    everywhere = refusals(_401="a token is asked for", _403="another page's script", _413="too large", _429="too often")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "emo serve",
            "version": version,
            "description": "Faces and their emotions in pictures and live frames.",
        },
        "paths": {
            "/detect": {
                "post": {
                    "summary": "Faces of one picture",
                    "parameters": [
                        query(
                            "system",
                            {"type": "string", "enum": ["yolo", "two-stage"]},
                            "default: as the server was started",
                        ),
                        query("model", TEXT, "a name that /choices lists"),
                        query(
                            "conf",
                            NUMBER | {"minimum": 0, "maximum": 1},
                            "score below which a face is dropped; not below the server's own",
                        ),
                        query(
                            "session",
                            TEXT | {"maxLength": 64},
                            (
                                "frames of one camera: faces are followed, scores smoothed, and a waiting frame "
                                "gives way to a newer one"
                            ),
                        ),
                        query("time_s", NUMBER | {"minimum": 0}, "of a session's frame; default: when it came"),
                    ],
                    "requestBody": {
                        "required": True,
                        "content": {
                            "image/*": {"schema": picture},
                            "multipart/form-data": {"schema": {"type": "object", "properties": {"file": picture}}},
                        },
                    },
                    "responses": {"200": found}
                    | refusals(
                        _400="no picture was sent",
                        _409="a newer frame of this session came",
                        _422="not a picture, or an unknown choice",
                        _503="too many wait",
                    )
                    | everywhere,
                }
            },
            "/stream.mjpg": {
                "get": {
                    "summary": "A source of the server's, annotated, as MJPEG",
                    "parameters": source,
                    "responses": {
                        "200": {
                            "description": "JPEGs one after the other",
                            "content": {"multipart/x-mixed-replace": {}},
                        }
                    }
                    | refusals(_404="no such source", _422="it cannot be opened")
                    | everywhere,
                }
            },
            "/events": {
                "get": {
                    "summary": "What is found in a source of the server's, as server-sent events",
                    "parameters": source,
                    "responses": {
                        "200": {
                            "description": "an event a frame, its data a Faces; `end` when the source ends",
                            "content": {"text/event-stream": {}},
                        }
                    }
                    | refusals(_404="no such source", _422="it cannot be opened")
                    | everywhere,
                }
            },
            "/choices": {
                "get": {
                    "summary": "Systems, models and sources there are",
                    "responses": {"200": {"description": "lists of names", "content": {"application/json": {}}}},
                }
            },
            "/healthz": {
                "get": {
                    "summary": "Whether the server is up; asks for no token",
                    "responses": {"200": {"description": "it is", "content": {"application/json": {}}}},
                }
            },
        },
        "components": {
            "schemas": {"Faces": faces, "Face": face, "Error": error},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }
