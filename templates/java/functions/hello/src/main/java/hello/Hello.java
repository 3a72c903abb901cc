package hello;

import java.util.Map;

public final class Hello {
    /** Answers `GET /hello/{name}`. Save a change, and the next request runs it. */
    public Map<String, Object> handle(Map<String, Object> event) {
        var name = event.get("pathParameters") instanceof Map<?, ?> parameters ? parameters.get("name") : "world";
        return Map.of("statusCode", 200, "body", "Hello, " + name + "!\n");
    }
}
