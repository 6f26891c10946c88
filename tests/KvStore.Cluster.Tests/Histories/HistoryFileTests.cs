using System.Text;
using FluentAssertions;
using KvStore.TestKit.Histories;
using Xunit;
using static KvStore.Cluster.Tests.Histories.Recorded;

namespace KvStore.Cluster.Tests.Histories;

public sealed class HistoryFileTests
{
    private const string Header = """{"format":"kvstore-history","version":1,"model":"key-value"}""";
    private const string Good = """{"client":"c","key":"k","kind":"put","input":"v","outcome":"done","invoke":1,"return":2}""";

    [Fact]
    public void Our_own_format_gives_back_what_was_written()
    {
        var history = new History(
        [
            Put("käse \"\\\n\u0001", 1, 2) with { InvokedAt = TimeSpan.FromMicroseconds(12), ReturnedAt = TimeSpan.FromMicroseconds(90_000_000) },
            Get(3, 4, "a", "b"),
            Get(4, 5),
            Delete(5, 6).NotDone(),
            Delete(6, 6).HavingSeen(),
            Put("b", 7, 8).HavingSeen("a", "c").On(""),
            Cas(null, "a", 9, 10).Mismatched(),
            Cas("a", "b", 11, RecordedOperation.NeverReturned).Unknown(),
        ]);

        var copy = Parse(Text(history));

        copy.Operations.Should().BeEquivalentTo(history.Operations, options => options.WithStrictOrdering());
        copy.Model.Should().BeSameAs(SequentialModel.KeyValue);
        Text(copy).Should().Be(Text(history));
    }

    [Fact]
    public void Our_own_format_is_what_the_documentation_shows()
    {
        var operation = Put("v1", 1, 2) with { InvokedAt = TimeSpan.FromMicroseconds(10), ReturnedAt = TimeSpan.FromMicroseconds(950) };

        Text(new History([operation])).Should().Be(
            Header + "\n"
            + """{"client":"c1","key":"k","kind":"put","input":"v1","outcome":"done","invoke":1,"return":2,"invokeUs":10,"returnUs":950}""" + "\n");
    }

    [Fact]
    public void A_file_is_written_and_read_by_its_path()
    {
        var path = Path.Combine(Directory.CreateTempSubdirectory("history").FullName, "one.jsonl");

        HistoryFile.Write(path, new History([Put("a", 1, 2)], SequentialModel.Register));

        HistoryFile.Read(path).Model.Name.Should().Be("register");
        Directory.Delete(Path.GetDirectoryName(path)!, recursive: true);
    }

    [Fact]
    public void A_jepsen_log_is_read_by_its_rules()
    {
        var history = Parse("""
            INFO  jepsen.core - Worker 0 starting
            INFO  jepsen.util - :nemesis	:info	:start	nil
            INFO  jepsen.util - 0	:invoke	:read	nil
            INFO  jepsen.util - 1	:invoke	:cas	[1 2]
            INFO  jepsen.util - 0	:ok	:read	nil
            INFO  jepsen.util - 1	:fail	:cas	[1 2]
            INFO  jepsen.util - 0	:invoke	:write	3
            INFO  jepsen.util - 1	:invoke	:read	nil
            INFO  jepsen.util - 0	:info	:write	:timed-out
            INFO  jepsen.util - 1	:fail	:read	:timed-out
            INFO  jepsen.util - 1	:invoke	:cas	[3 4]
            """);

        history.Operations.Select(operation => operation.ToString()).Should().Equal(
            "client 0, key register: get -> nothing (done) [3..5]",
            "client 1, key register: compare-and-set \"1\" -> \"2\" (comparison failed) [4..6]",
            "client 0, key register: put \"3\" (unknown) [7..9]",
            "client 1, key register: get (unknown) [8..10]",
            "client 1, key register: compare-and-set \"3\" -> \"4\" (unknown) [11..open]");
    }

    [Fact]
    public void Edn_maps_are_read_by_their_rules()
    {
        var history = Parse("""
            {:process 0, :type :invoke, :f :append, :key "0", :value "x \"0\" y"}
            {:process 1, :type :invoke, :f :get, :key "0", :value nil}

            {:process 0, :type :ok, :f :append, :key "0", :value "x \"0\" y"}
            {:value "x", :process 1, :type :ok, :f :get, :key "0"}
            """);

        history.Operations.Select(operation => operation.ToString()).Should().Equal(
            "client 0, key 0: append \"x \"0\" y\" (done) [1..4]",
            "client 1, key 0: get -> \"x\" (done) [2..5]");
    }

    [Theory]
    [InlineData("", 1, "The file is empty")]
    [InlineData("\n \n", 2, "The file is empty")]
    [InlineData("hello", 1, "This is none of the known history formats")]
    [InlineData("{", 1, "This is not one JSON object")]
    [InlineData("{\"a\":1}", 1, "does not name the format")]
    [InlineData("""{"format":"kvstore-history","version":2,"model":"key-value"}""", 1, "Only version 1")]
    [InlineData("""{"format":"kvstore-history","version":1,"model":"queue"}""", 1, "names no known model")]
    [InlineData(Header + "\n[]", 2, "This is not one JSON object")]
    [InlineData(Header + "\n\n" + Good + "x", 3, "This is not one JSON object")]
    [InlineData(Header + "\n" + """{"client":"c"}""", 2, "The field \"key\" is missing")]
    [InlineData(Header + "\n" + """{"client":"c","key":"k","kind":"swap","outcome":"done","invoke":1}""", 2, "The field \"kind\" is missing or has no known value")]
    [InlineData(Header + "\n" + """{"client":1}""", 2, "The field \"client\" is not text")]
    [InlineData(Header + "\n" + """{"values":"v"}""", 2, "The field \"values\" is not a list")]
    [InlineData(Header + "\n" + """{"invoke":1.5}""", 2, "The field \"invoke\" is not a whole number")]
    [InlineData(Header + "\n" + """{"invokeUs":-1}""", 2, "The field \"invokeUs\" is no possible time")]
    [InlineData(Header + "\n" + """{"client":"c","client":"d"}""", 2, "The field \"client\" comes twice")]
    [InlineData(Header + "\n" + """{"colour":"red"}""", 2, "The field \"colour\" is not known")]
    [InlineData(Header + "\n" + """{"client":"c","key":"k","kind":"append","input":"v","outcome":"done","invoke":1,"return":2}""", 2, "has no Append")]
    [InlineData(Header + "\n" + """{"client":"c","key":"k","kind":"get","outcome":"done","invoke":2,"return":1}""", 2, "returns before it is invoked")]
    [InlineData(Header + "\n" + """{"client":"c","key":"k","kind":"get","outcome":"done","invoke":2}""", 2, "never returned has an outcome")]
    [InlineData(Header + "\n" + """{"client":"c","key":"k","kind":"put","outcome":"done","invoke":1,"return":2}""", 2, "A write has no value")]
    [InlineData(Header + "\n" + """{"client":"c","key":"k","kind":"get","outcome":"mismatched","invoke":1,"return":2}""", 2, "Only a compare-and-set")]
    [InlineData("INFO  jepsen.util - 0 :invoke :read nil\nrubbish", 2, "This is not a line of a log")]
    [InlineData("INFO  jepsen.util - 0 :invoke :swap 1", 1, "This is not an event of a register")]
    [InlineData("INFO  jepsen.util - 0 :invoke :write x", 1, "is not a number")]
    [InlineData("INFO  jepsen.util - 0 :invoke :cas 5", 1, "is not a number, or that of a cas not a pair")]
    [InlineData("INFO  jepsen.util - 0 :invoke :read nil\nINFO  jepsen.util - 0 :ok :read x", 2, "neither a number nor nil")]
    [InlineData("INFO  jepsen.util - 0 :ok :read 1", 1, "Process 0 ends an operation that it has not invoked")]
    [InlineData("INFO  jepsen.util - 0 :invoke :read nil\nINFO  jepsen.util - 0 :ok :write 1", 2, "ends an operation that it has not invoked")]
    [InlineData("INFO  jepsen.util - 0 :invoke :read nil\nINFO  jepsen.util - 0 :invoke :read nil", 2, "before its last one has ended")]
    [InlineData("{:process 0, :type :invoke", 1, "This is not one EDN map")]
    [InlineData("{:process 0} x", 1, "This is not one EDN map")]
    [InlineData("{:process \"0", 1, "This is not one EDN map")]
    [InlineData("{:process 0 :process 1}", 1, "This is not one EDN map")]
    [InlineData("{:process 0, :type :invoke, :key \"k\", :value nil}", 1, "The map has no :f")]
    [InlineData("{:process 0, :type :invoke, :f :swap, :key \"k\", :value nil}", 1, "The function :swap is not known")]
    [InlineData("{:process 0, :type :maybe, :f :get, :key \"k\", :value nil}", 1, "The type :maybe is not known")]
    [InlineData("{:process 0, :type :invoke, :f :put, :key \"k\", :value nil}", 1, "The value of a write is not text")]
    public void A_malformed_file_is_refused_with_file_and_line(string text, int line, string problem)
    {
        var reading = () => Parse(text);

        var refusal = reading.Should().Throw<HistoryFormatException>().Which;
        refusal.Message.Should().StartWith($"some.txt, line {line}: ").And.Contain(problem).And.EndWith(".");
        refusal.Message.Should().NotContain("\n");
        refusal.Line.Should().Be(line);
        refusal.File.Should().Be("some.txt");
    }

    [Fact]
    public void Half_a_character_is_refused_like_anything_else_that_is_no_text()
    {
        var reading = () => Parse(Header + "\n" + """{"client":"\ud800"}""");

        reading.Should().Throw<HistoryFormatException>().Which.Line.Should().Be(2);
    }

    private static History Parse(string text) => HistoryFile.Read(new StringReader(text), "some.txt");

    private static string Text(History history)
    {
        using var stream = new MemoryStream();
        HistoryFile.Write(stream, history);
        return Encoding.UTF8.GetString(stream.ToArray());
    }
}
