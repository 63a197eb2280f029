import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;

/** JavaClient.java URL TIMES: the last of TIMES requests by java.net.http, as a programmer sees it. */
class JavaClient {
    public static void main(String[] arguments) throws Exception {
        var client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(2)).build();
        var request = HttpRequest.newBuilder(URI.create(arguments[0])).timeout(Duration.ofSeconds(2)).build();
        for (int before = 1; before < Integer.parseInt(arguments[1]); before++) {
            client.send(request, BodyHandlers.ofByteArray());
        }
        try {
            var answer = client.send(request, BodyHandlers.ofByteArray());
            System.out.println(answer.statusCode() + ", " + answer.body().length + " bytes");
        } catch (Exception error) {
            var why = error.getCause() == null ? "" : " (cause: " + error.getCause() + ")";
            System.out.println(error + why);
        }
        System.exit(0);
    }
}
