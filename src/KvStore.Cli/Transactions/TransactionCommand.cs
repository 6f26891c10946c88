using System.CommandLine;
using System.Text;
using KvStore.Cli.Data;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts;

namespace KvStore.Cli.Transactions;

/// <summary><c>kv txn</c>.</summary>
internal static class TransactionCommand
{
    /// <summary>What a transaction may have in bytes takes a third more in base64, and some for what stands around it.</summary>
    private const int MostBytes = 2 * KvLimits.MaxTransactionBytes;

    private const string Examples =
        """
        kv txn transfer.txt -k accounts            with these lines in the file (or on standard input):

            if
              version {bank}/alice 0a1b2c          also: value KEY VALUE, exists KEY, absent KEY
              value {bank}/bob "100"               words with blanks stand in quotes
            then
              put {bank}/alice 90
              put {bank}/bob 110 ttl 30m
              delete {bank}/pending
            else
              get {bank}/alice                     # -o json shows the versions to try again with
              get {bank}/bob

        echo '{"if": [{"key": "lock", "exists": false}], "then": [{"put": "lock", "value": "me", "ttl": "30s"}]}' | kv txn -k orders

        All keys live in one shard: keys with the same tag in braces do, such as {bank}/alice and {bank}/bob.
        Exit code 0: the comparisons held, 'then' was done. 3: they did not, 'else' was done. 4: refused, nothing was done.
        5: nobody knows whether it was done. 64: it can't be read, is out of bounds, or its keys are in different shards.
        """;

    public static Command Create(CommandHost host)
    {
        var file = new Argument<string?>("FILE") { Description = "Where the transaction stands, as lines or as JSON; '-', or nothing: standard input.", Arity = ArgumentArity.ZeroOrOne };
        var keyspace = DataOptions.Keyspace();
        var session = SessionOptions.Session();
        var format = OutputFormatOption.Create();
        var command = new Command("txn", "Compare keys of one shard and do one of two lists of operations on them, atomically (cp, adaptive). Exit code 3: the comparisons did not hold.")
        {
            file, keyspace, session, format,
        };
        return host.Add(command, Examples, async context =>
        {
            var transaction = Parse(await ReadAsync(context, context.Value(file)));
            var space = DataOptions.KeyspaceOf(context, keyspace);
            var opened = SessionOptions.Open(context, session);
            KvTxnResult result;
            try
            {
                result = await space.TransactAsync(transaction, new KvWriteOptions { Session = opened }, context.StopChanging);
            }
            catch (ArgumentException outOfBounds)
            {
                throw CliFailure.Usage(Failures.Sentence(outOfBounds.Message));
            }

            SessionOptions.Tell(context, opened);
            return TransactionOutput.Show(context, context.Value(format), result);
        });
    }

    private static KvTxn Parse(ReadOnlyMemory<byte> bytes)
    {
        var text = ByteText.AsText(bytes.Span) ?? throw CliFailure.Usage("The transaction is no UTF-8 text; values that are none go into JSON as valueBase64.");
        return text.AsSpan().TrimStart().StartsWith("{", StringComparison.Ordinal) ? TransactionJson.Parse(Encoding.UTF8.GetBytes(text)) : TransactionScript.Parse(text);
    }

    private static async Task<ReadOnlyMemory<byte>> ReadAsync(CommandContext context, string? file)
    {
        if (file is null or "-")
        {
            return await ReadAsync(context.Terminal.In, context.Stop);
        }

        try
        {
            await using var stream = File.OpenRead(file);
            return await ReadAsync(stream, context.Stop);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new CliFailure(ExitCode.NoInput, $"{file} does not exist; check its name.");
        }
        catch (UnauthorizedAccessException)
        {
            throw new CliFailure(ExitCode.NoInput, $"{file} is a directory or may not be read by this user; name a readable file.");
        }
    }

    private static async Task<ReadOnlyMemory<byte>> ReadAsync(Stream stream, CancellationToken stop)
    {
        var buffer = new byte[MostBytes + 1];
        var read = await stream.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, stop);
        return read == buffer.Length
            ? throw CliFailure.Usage($"The transaction has more than {MostBytes:N0} bytes; its keys, versions and values have at most {KvLimits.MaxTransactionBytes:N0}.")
            : buffer.AsMemory(0, read);
    }
}
