import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;

/** JavaClient.java VERSION URL TIMES BYTES: the last of TIMES requests by java.net.http, as a programmer sees it. */
class JavaClient {
    public static void main(String[] arguments) throws Exception {
        var version = HttpClient.Version.valueOf(arguments[0]);
        var client = HttpClient.newBuilder().version(version).connectTimeout(Duration.ofSeconds(2)).build();
        var builder = HttpRequest.newBuilder(URI.create(arguments[1])).timeout(Duration.ofSeconds(2));
        int bytes = Integer.parseInt(arguments[3]);
        var request = (bytes == 0 ? builder : builder.POST(BodyPublishers.ofByteArray(new byte[bytes]))).build();
        for (int before = 1; before < Integer.parseInt(arguments[2]); before++) {
            client.send(request, BodyHandlers.ofByteArray());
        }
        try {
            var answer = client.send(request, BodyHandlers.ofByteArray());
            if (answer.version() != version) {
                System.out.println("asked by " + answer.version());
            }
            System.out.println(answer.statusCode() + ", " + answer.body().length + " bytes");
        } catch (Exception error) {
            var why = error.getCause() == null ? "" : " (cause: " + error.getCause() + ")";
            System.out.println(error + why);
        }
        System.exit(0);
    }
}
