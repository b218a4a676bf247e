import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.PreparedStatement;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

/** What a Java program, or a tool like DBeaver, asks of a database through JDBC, and a session. */
public final class Metadata {
  private interface Act {
    Object run() throws Exception;
  }

  private static void step(String name, Act act) {
    String found;
    try {
      Object answer = act.run();
      found = answer instanceof ResultSet ? rows((ResultSet) answer) : String.valueOf(answer);
    } catch (Exception error) {
      String said = String.valueOf(error.getMessage());
      found = error.getClass().getSimpleName() + ": " + said.split("\n")[0];
    }
    System.out.println("== " + name + "\n" + found);
  }

  /** Column names, then a line for each row; the rows sorted, for not every answer has an order. */
  private static String rows(ResultSet result) throws Exception {
    ResultSetMetaData columns = result.getMetaData();
    List<String> names = new ArrayList<>();
    for (int i = 1; i <= columns.getColumnCount(); i++) {
      names.add(columns.getColumnLabel(i));
    }
    List<String> lines = new ArrayList<>();
    while (result.next()) {
      List<String> cells = new ArrayList<>();
      for (int i = 1; i <= names.size(); i++) {
        cells.add(result.getString(i));
      }
      lines.add(String.join(" | ", cells.toString()));
    }
    result.close();
    lines.sort(null);
    return names + "\n" + String.join("\n", lines);
  }

  public static void main(String[] arguments) throws Exception {
    String url = "jdbc:postgresql://127.0.0.1:" + System.getenv("TOOL_PORT") + "/"
        + System.getenv("TOOL_DATABASE") + "?options=" + System.getenv("TOOL_OPTIONS");
    try (Connection db = DriverManager.getConnection(
        url, System.getenv("TOOL_USER"), System.getenv("TOOL_PASSWORD"))) {
      metadata(db.getMetaData());
      session(db);
    }
  }

  private static void metadata(DatabaseMetaData of) {
    String[] kinds = {"TABLE", "VIEW", "SEQUENCE", "INDEX"};
    step("getDatabaseProductName", of::getDatabaseProductName);
    step("getDatabaseMajorVersion", of::getDatabaseMajorVersion);
    step("getSchemas", of::getSchemas);
    step("getSchemas, pattern", () -> of.getSchemas(null, "s%"));
    step("getCatalogs", () -> rows(of.getCatalogs()).contains("shardrouter"));
    step("getTableTypes", of::getTableTypes);
    step("getTables", () -> of.getTables(null, "public", "%", kinds));
    step("getTables, sales", () -> of.getTables(null, "sales", null, new String[] {"TABLE"}));
    step("getTables, system", () -> of.getTables(null, "pg_catalog", "pg_cl%", null));
    step("getColumns", () -> of.getColumns(null, "public", "%", "%"));
    step("getColumns, sales", () -> of.getColumns(null, "sales", "sale", null));
    step("getPrimaryKeys", () -> of.getPrimaryKeys(null, "public", "book"));
    step("getPrimaryKeys, sales", () -> of.getPrimaryKeys(null, "sales", "shop"));
    step("getIndexInfo", () -> of.getIndexInfo(null, "public", "book", false, true));
    step("getIndexInfo, unique", () -> of.getIndexInfo(null, "sales", "sale", true, false));
    step("getImportedKeys", () -> of.getImportedKeys(null, "sales", "sale"));
    step("getExportedKeys", () -> of.getExportedKeys(null, "public", "book"));
    step("getCrossReference",
        () -> of.getCrossReference(null, "sales", "shop", null, "sales", "sale"));
    step("getBestRowIdentifier",
        () -> of.getBestRowIdentifier(null, "public", "book", DatabaseMetaData.bestRowSession, true));
    step("getVersionColumns", () -> of.getVersionColumns(null, "public", "book"));
    step("getTablePrivileges", () -> of.getTablePrivileges(null, "sales", "author"));
    step("getColumnPrivileges", () -> of.getColumnPrivileges(null, "sales", "author", "id"));
    step("getUDTs", () -> of.getUDTs(null, "sales", "%", null));
    step("getProcedures", () -> of.getProcedures(null, "public", "%"));
    step("getProcedureColumns", () -> of.getProcedureColumns(null, "public", "%", "%"));
    step("getFunctions", () -> of.getFunctions(null, "public", "%"));
    step("getFunctionColumns", () -> of.getFunctionColumns(null, "public", "%", "%"));
    step("getTypeInfo", () -> rows(of.getTypeInfo()).contains("[int4, 4,"));
    step("getMaxIndexKeys", of::getMaxColumnsInIndex);
    step("getMaxTableNameLength", of::getMaxTableNameLength);
    step("getClientInfoProperties", () -> rows(of.getClientInfoProperties()).length() > 0);
    step("getSQLKeywords", () -> of.getSQLKeywords().length() > 100);
  }

  private static void session(Connection db) throws Exception {
    Statement plain = db.createStatement();
    step("isolation", db::getTransactionIsolation);
    step("insert, keys", () -> {
      PreparedStatement insert = db.prepareStatement(
          "INSERT INTO author (name, born) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS);
      insert.setString(1, "George");
      insert.setDate(2, java.sql.Date.valueOf("1819-11-22"));
      insert.executeUpdate();
      return insert.getGeneratedKeys().next();
    });
    step("batch", () -> {
      PreparedStatement insert = db.prepareStatement("INSERT INTO author (name) VALUES (?)");
      for (String name : new String[] {"Anne", "Emily", "Charlotte"}) {
        insert.setString(1, name);
        insert.addBatch();
      }
      return java.util.Arrays.toString(insert.executeBatch());
    });
    step("query", () -> plain.executeQuery("SELECT name, born, active FROM author ORDER BY name"));
    step("types", () -> {
      ResultSetMetaData of = plain.executeQuery("SELECT * FROM book").getMetaData();
      List<String> found = new ArrayList<>();
      for (int i = 1; i <= of.getColumnCount(); i++) {
        found.add(of.getColumnName(i) + " " + of.getColumnTypeName(i) + " " + of.getPrecision(i)
            + " " + of.getScale(i) + " " + of.getTableName(i) + " " + of.isNullable(i) + " "
            + of.isAutoIncrement(i));
      }
      return found;
    });
    step("array", () -> {
      PreparedStatement query = db.prepareStatement("SELECT title FROM book WHERE id = ANY (?)");
      query.setArray(1, db.createArrayOf("int4", new Object[] {1, 3}));
      return query.executeQuery();
    });
    step("updatable", () -> {
      Statement cursor = db.createStatement(
          ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE);
      ResultSet rows = cursor.executeQuery("SELECT id, title FROM book WHERE id = 1");
      rows.next();
      rows.updateString(2, "Emma, again");
      rows.updateRow();
      return db.createStatement().executeQuery("SELECT title FROM book WHERE id = 1");
    });
    step("fetch size", () -> {
      db.setAutoCommit(false);
      Statement some = db.createStatement();
      some.setFetchSize(2);
      String found = rows(some.executeQuery("SELECT id FROM book ORDER BY id"));
      db.commit();
      return found;
    });
    step("savepoint", () -> {
      plain.executeUpdate("UPDATE author SET note = 'kept' WHERE name = 'Anne'");
      Savepoint savepoint = db.setSavepoint();
      plain.executeUpdate("UPDATE author SET note = 'lost' WHERE name = 'Anne'");
      db.rollback(savepoint);
      db.commit();
      db.setAutoCommit(true);
      return plain.executeQuery("SELECT note FROM author WHERE name = 'Anne'");
    });
    step("error", () -> plain.executeQuery("SELECT nope"));
  }
}
