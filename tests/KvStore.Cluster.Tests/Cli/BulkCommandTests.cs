using System.Text;
using FluentAssertions;
using KvStore.Cli;
using KvStore.Client;
using KvStore.Cluster.Tests.Clusters;
using Xunit;

namespace KvStore.Cluster.Tests.Cli;

/// <summary>kv import and kv export.</summary>
[Collection(ClusterCollection.Name)]
public sealed class BulkCommandTests(ThreeNodes nodes, ITestOutputHelper output) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    private readonly string _directory = Directory.CreateTempSubdirectory("kv-bulk-").FullName;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public async ValueTask DisposeAsync()
    {
        Directory.Delete(_directory, recursive: true);
        await nodes.TellIfFailed(output);
    }

    [Fact]
    public async Task What_was_imported_comes_out_again_as_it_went_in_text_and_bytes_alike()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        string[] lines =
        [
            """{"key":"a/1","value":"one"}""",
            """{"key":"a/2","value":"zwei, \"drei\""}""",
            """{"key":"b","valueBase64":"AP//AA=="}""",
            """{"keyBase64":"/wA=","value":"bytes"}""",
        ];
        string file = Write("in.jsonl", lines);
        (await nodes.MustKvAsync("import", file, "-k", name)).Out.Should().StartWith("4 records imported");

        string back = Path.Combine(_directory, "out.jsonl");
        await nodes.MustKvAsync("export", "-k", name, "-f", back);
        (await File.ReadAllLinesAsync(back, TestContext.Current.CancellationToken)).Should().Equal(lines);
        File.Exists(file + ".kv-import").Should().BeFalse("nothing is left to resume");
    }

    [Fact]
    public async Task Rows_of_a_csv_file_become_values_by_column_or_whole()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        string file = Write("cities.csv", ["id,name,people", "1,\"Paris, France\",2100000", "2,Oslo,700000"]);
        await nodes.MustKvAsync("import", file, "-k", name, "--key-column", "id", "--value-column", "name");
        (await nodes.MustKvAsync("get", "1", "-k", name, "-o", "raw")).RawOut.Should().Equal("Paris, France"u8.ToArray());

        await nodes.MustKvAsync("import", file, "-k", name, "--key-column", "id");
        (await nodes.MustKvAsync("get", "2", "-k", name, "-o", "raw")).RawOut.Should().Equal("""{"id":"2","name":"Oslo","people":"700000"}"""u8.ToArray());

        KvRun csv = await nodes.MustKvAsync("export", "-k", name, "--format", "csv");
        csv.Out.Should().StartWith("key,value");
        csv.Out.Should().Contain("1,\"{\"\"id\"\":\"\"1\"\"");
    }

    [Fact]
    public async Task A_bad_record_ends_the_import_with_its_number_and_the_rest_follows_when_it_is_mended()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        string[] lines = [.. Enumerable.Range(1, 50).Select(number => $$"""{"key":"k{{number}}","value":"v{{number}}"}""")];
        string good = lines[29];
        lines[29] = """{"key":"","value":"no key"}""";
        string file = Write("bad.jsonl", lines);
        KvRun failed = await nodes.KvAsync("import", file, "-k", name, "--concurrency", "1");
        failed.Code.Should().Be(ExitCode.NoInput);
        failed.Error.Should().Contain("Record 30").And.Contain("--resume");
        (await File.ReadAllTextAsync(file + ".kv-import", TestContext.Current.CancellationToken)).Should().Be("29");

        lines[29] = good;
        Write("bad.jsonl", lines);
        (await nodes.MustKvAsync("import", file, "-k", name, "--resume")).Out.Should().StartWith("21 records imported").And.Contain("29 were there already");
        List<string> keys = [];
        await foreach (KvEntry<string> entry in nodes.Cluster.Client.Keyspace(name).ScanAsync<string>(KvRange.All, cancellationToken: TestContext.Current.CancellationToken))
        {
            keys.Add(entry.Key.ToString());
        }

        keys.Should().HaveCount(50);
    }

    [Fact]
    public async Task An_export_that_broke_off_goes_on_behind_its_last_whole_record()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        string[] lines = [.. Enumerable.Range(10, 40).Select(number => $$"""{"key":"k{{number}}","value":"v{{number}}"}""")];
        await nodes.MustKvAsync("import", Write("all.jsonl", lines), "-k", name);
        string half = Write("half.jsonl", [.. lines[..15], lines[15][..9]]);
        File.WriteAllText(half, File.ReadAllText(half).TrimEnd('\n'));
        await nodes.MustKvAsync("export", "-k", name, "-f", half, "--resume");
        (await File.ReadAllLinesAsync(half, TestContext.Current.CancellationToken)).Should().Equal(lines);
    }

    [Theory]
    [InlineData("x.csv", "id;name\n1;a", "--key-column|id", "no column 'id'")]
    [InlineData("x.csv", "id,name\n1", "--key-column|id", "Record 1 has 1 fields")]
    [InlineData("x.jsonl", "not json", "", "Record 1 is none")]
    [InlineData("x.jsonl", "{\"key\":\"k\"}", "", "has no \"value\"")]
    public async Task A_file_that_is_none_is_refused_in_one_sentence(string file, string content, string options, string complaint)
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        string path = Path.Combine(_directory, file);
        await File.WriteAllTextAsync(path, content, TestContext.Current.CancellationToken);
        KvRun run = await nodes.KvAsync([.. (string[])["import", path, "-k", name], .. options.Split('|', StringSplitOptions.RemoveEmptyEntries)]);
        run.Code.Should().BeOneOf(ExitCode.NoInput, ExitCode.Usage);
        run.Error.Should().Contain(complaint);
    }

    private string Write(string name, string[] lines)
    {
        string path = Path.Combine(_directory, name);
        File.WriteAllText(path, string.Join('\n', lines) + "\n", new UTF8Encoding(false));
        return path;
    }
}
